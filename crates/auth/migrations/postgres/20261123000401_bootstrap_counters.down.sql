DELETE FROM flow_counters WHERE kind = 'bootstrap_address';
ALTER TABLE flow_counters
    DROP CONSTRAINT flow_counters_kind_known,
    ADD CONSTRAINT flow_counters_kind_known CHECK (
        kind IN (
            'password_reset_account', 'password_reset_nobody', 'password_reset_address', 'email_verification_account',
            'email_change_account', 'registration_account', 'registration_address', 'invitation_address'
        )
    );
