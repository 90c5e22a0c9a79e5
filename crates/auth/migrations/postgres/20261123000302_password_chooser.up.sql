-- Somebody else than its owner chose the password, or the address that another one would be mailed to, and may know it still: what its
-- holder changes by knowing it leaves this as it is, and only a mailed link ends it. Such a password opens no further organisation.
ALTER TABLE credentials ADD COLUMN chosen_by_other boolean NOT NULL DEFAULT false;
