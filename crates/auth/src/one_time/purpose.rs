/// What a single-use token is for. The kinds are closed.
pub trait Purpose: sealed::Sealed + Send + Sync + 'static {
    /// The purpose as rows spell it, and as it goes into digests.
    const WORD: &'static str;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! purposes {
    ($($(#[$doc:meta])* $name:ident = $word:literal),* $(,)?) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub enum $name {}

            impl sealed::Sealed for $name {}

            impl Purpose for $name {
                const WORD: &'static str = $word;
            }
        )*

        /// The words of all purposes.
        #[cfg(test)]
        pub(crate) const WORDS: &[&str] = &[$($word),*];
    };
}

purposes! {
    /// Setting a new password without the present one.
    PasswordReset = "password_reset",
    /// Proving that mail to one's address arrives.
    EmailVerification = "email_verification",
    /// Proving that mail to one's new address arrives.
    EmailChange = "email_change",
    /// Joining an organisation.
    Invitation = "invitation",
    /// Having the account that one asked for.
    Registration = "registration",
    /// Going on with a sign-in whose first factor was right.
    PendingLogin = "pending_login",
    /// Tying an account elsewhere to one's own.
    AccountLink = "account_link",
}
