use proptest::prelude::*;

use super::*;

/// What stands in a field of a cron text, sound or not: numbers from the edges, names, ranges, steps, lists, marks.
fn any_field() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        8 => (0_u32..70).prop_map(|number| number.to_string()),
        1 => any::<i64>().prop_map(|number| number.to_string()),
        2 => prop::sample::select(vec!["MON", "sun", "JAN", "dec", "7", "31", "*", "?", "L", "LW", "15W", ""])
            .prop_map(str::to_owned),
    ];
    let part = (number.clone(), prop::option::of(number.clone()), prop::option::of(number), 0_u8..12)
        .prop_map(|(from, to, step, mark)| {
            let range = to.map(|to| format!("-{to}")).unwrap_or_default();
            let step = step.map(|step| format!("/{step}")).unwrap_or_default();
            let mark = match mark {
                0 => "#2",
                1 => "L",
                2 => "W",
                3 => "#L",
                _ => "",
            };
            format!("{from}{range}{step}{mark}")
        });
    prop_oneof![
        3 => Just("*".to_owned()),
        3 => prop::collection::vec(part, 1..3).prop_map(|parts| parts.join(",")),
        1 => (0_u32..70).prop_map(|step| format!("*/{step}")),
    ]
}

fn any_expression() -> impl Strategy<Value = String> {
    prop_oneof![
        12 => prop::collection::vec(any_field(), 4..8).prop_map(|fields| fields.join(" ")),
        1 => "@[a-z]{0,10}",
        1 => any::<String>(),
    ]
}

fn any_zone() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::sample::select(chrono_tz::TZ_VARIANTS.to_vec()).prop_map(|zone| zone.name().to_owned()),
        1 => any::<String>(),
    ]
}

proptest! {
    /// Each is refused with a reason or has slots, one after the other.
    #[test]
    fn fuzz_cron_texts_have_slots_in_order_or_a_reason(
        expression in any_expression(), zone in any_zone(), from in 0_i64..4_000_000_000,
    ) {
        let from = DateTime::from_timestamp(from, 0).unwrap();
        let timing = Timing::cron(expression, zone);
        match timing.upcoming(from, 20) {
            Ok(slots) => {
                let mut last = from;
                for slot in slots {
                    prop_assert!(slot > last, "{slot} after {last}");
                    last = slot;
                }
            }
            Err(JobsError::Invalid { field, .. }) => prop_assert!(["expression", "time_zone"].contains(&field)),
            Err(error) => prop_assert!(false, "{error:?}"),
        }
    }

    /// What is stored of a timing reads back as the same, and other texts are no timing.
    #[test]
    fn fuzz_stored_timings_read_back_or_are_refused(expression in any_expression(), zone in any_zone(), text: String) {
        let timing = Timing::cron(expression, zone);
        let stored = serde_json::to_string(&timing).unwrap();
        prop_assert_eq!(serde_json::from_str::<Timing>(&stored).unwrap(), timing);
        let _ = serde_json::from_str::<Timing>(&text);
        let cut = stored.chars().take(text.len() % stored.chars().count()).collect::<String>();
        prop_assert!(serde_json::from_str::<Timing>(&cut).is_err());
    }
}
