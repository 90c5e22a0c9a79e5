-- What the product knows about a person beyond who it is: `people` belongs to the auth crate. One row per person, made
-- and removed in the transaction that makes and removes the person; people are platform-wide, so there is no tenant here.
CREATE TABLE person_profiles (
    person_id blob NOT NULL PRIMARY KEY,
    first_name text NOT NULL,
    last_name text NOT NULL,
    display_name text,
    avatar_url text,
    bio text,
    phone text,
    date_of_birth text,
    gender text NOT NULL,
    preferred_contact_method text,
    locale text,
    timezone text,
    address_line1 text,
    address_line2 text,
    city text,
    region text,
    postal_code text,
    country_code text,
    status text NOT NULL,
    marketing_opt_in integer NOT NULL,
    notes text,
    metadata text,
    -- Name, user name and address, folded, for the search box: lower() of the engines disagree beyond ASCII.
    search_key text NOT NULL,
    CONSTRAINT person_profiles_status_is_known CHECK (status IN ('active', 'inactive', 'archived')),
    CONSTRAINT person_profiles_gender_is_known CHECK (gender IN ('unknown', 'female', 'male', 'non_binary', 'other'))
) STRICT;
