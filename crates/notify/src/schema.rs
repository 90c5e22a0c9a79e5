stylobate_db::migration_set! {
    /// Messages and their deliveries, notifications of people, channels, templates of tenants, suppressions and preferences.
    pub MIGRATIONS = "notify";
    "20261123000001_notify",
    "20261123000201_policies_asked_once",
    "20261123093501_rows_of_tenants",
}

#[cfg(test)]
mod tests {
    use crate::{ChannelDisabled, DeliveryState, Medium, Reason};

    const SQLITE: &str = include_str!("../migrations/sqlite/20261123000001_notify.up.sql");
    const POSTGRES: &str = include_str!("../migrations/postgres/20261123000001_notify.up.sql");

    /// The texts that a constraint lets pass.
    fn taken<'a>(sql: &'a str, constraint: &str) -> Vec<&'a str> {
        let (_, rest) = sql.split_once(&format!("CONSTRAINT {constraint} CHECK (")).unwrap();
        let (list, _) = rest.split_once("))").unwrap();
        list.split('\'').skip(1).step_by(2).collect()
    }

    #[test]
    fn the_tables_take_what_is_known_and_nothing_else() {
        let media: Vec<_> = Medium::ALL.iter().map(|medium| medium.as_str()).collect();
        let of_channels = Medium::ALL.iter().filter(|medium| medium.is_channel());
        let of_channels: Vec<_> = of_channels.map(|medium| medium.as_str()).collect();
        let states: Vec<_> = DeliveryState::EVERY.iter().map(|state| state.as_str()).collect();
        let reasons: Vec<_> = Reason::EVERY.iter().map(|reason| reason.as_str()).collect();
        let disabled: Vec<_> = ChannelDisabled::EVERY.iter().map(|reason| reason.as_str()).collect();
        for sql in [SQLITE, POSTGRES] {
            for (constraint, known) in [
                ("notify_deliveries_medium_check", &media),
                ("notify_deliveries_state_check", &states),
                ("notify_deliveries_reason_check", &reasons),
                ("notification_channels_channel_type_check", &of_channels),
                ("notification_channels_reason_check", &disabled),
            ] {
                assert_eq!(&taken(sql, constraint), known, "{constraint}");
            }
        }
    }
}
