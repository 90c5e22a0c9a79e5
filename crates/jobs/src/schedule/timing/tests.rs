use std::collections::BTreeSet;

use chrono::{Datelike as _, LocalResult, NaiveTime, Offset as _, TimeZone as _, Timelike as _};
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn ticks(timing: &Timing, catch_up: CatchUp, next: &str, now: &str) -> (Vec<String>, usize, Option<String>) {
    let ticks = tick(timing, catch_up, at(next), at(now)).unwrap();
    let text = |time: &DateTime<Utc>| time.format("%d %H:%M:%S").to_string();
    (ticks.slots.iter().map(text).collect(), ticks.skipped, ticks.next_run_at.as_ref().map(text))
}

fn hourly() -> Timing {
    Timing::cron("0 * * * *", "UTC")
}

#[test]
fn nothing_runs_before_its_time() {
    for catch_up in [CatchUp::Skip, CatchUp::One, CatchUp::All { most: 9 }] {
        let early = ticks(&hourly(), catch_up, "2026-03-01T13:00:00Z", "2026-03-01T12:59:59Z");
        assert_eq!(early, (vec![], 0, Some("01 13:00:00".to_owned())));
        // A clock that was put back by an hour.
        let back = ticks(&hourly(), catch_up, "2026-03-01T13:00:00Z", "2026-03-01T11:30:00Z");
        assert_eq!(back, (vec![], 0, Some("01 13:00:00".to_owned())));
    }
}

#[test]
fn a_slot_runs_on_time_whatever_is_done_about_missed_ones() {
    for catch_up in [CatchUp::Skip, CatchUp::One, CatchUp::All { most: 1 }] {
        for now in ["2026-03-01T13:00:00Z", "2026-03-01T13:01:00Z"] {
            let on_time = ticks(&hourly(), catch_up, "2026-03-01T13:00:00Z", now);
            assert_eq!(on_time, (vec!["01 13:00:00".to_owned()], 0, Some("01 14:00:00".to_owned())));
        }
    }
}

#[test]
fn missed_slots_are_left_out_or_run_once_or_run_up_to_so_many() {
    let look = |catch_up| ticks(&hourly(), catch_up, "2026-03-01T02:00:00Z", "2026-03-01T07:30:00Z");
    let next = Some("01 08:00:00".to_owned());
    assert_eq!(look(CatchUp::Skip), (vec![], 6, next.clone()));
    assert_eq!(look(CatchUp::One), (vec!["01 07:00:00".to_owned()], 5, next.clone()));
    let two = vec!["01 06:00:00".to_owned(), "01 07:00:00".to_owned()];
    assert_eq!(look(CatchUp::All { most: 2 }), (two, 4, next));
    let (all, skipped, _) = look(CatchUp::All { most: 1_000 });
    assert_eq!((all.len(), skipped), (6, 0));
}

#[test]
fn a_slot_that_is_on_time_stands_for_the_missed_ones_before_it() {
    let look = |catch_up| ticks(&hourly(), catch_up, "2026-03-01T02:00:00Z", "2026-03-01T07:00:10Z");
    assert_eq!(look(CatchUp::One).0, ["01 07:00:00"]);
    assert_eq!(look(CatchUp::Skip).0, ["01 07:00:00"]);
    assert_eq!(look(CatchUp::All { most: 1 }).0, ["01 06:00:00", "01 07:00:00"]);
}

#[test]
fn what_happens_once_happens_once_also_late() {
    let once = Timing::Once { at: at("2026-03-01T02:00:00Z") };
    let late = ticks(&once, CatchUp::One, "2026-03-01T02:00:00Z", "2026-03-05T00:00:00Z");
    assert_eq!(late, (vec!["01 02:00:00".to_owned()], 0, None));
    let skipped = ticks(&once, CatchUp::Skip, "2026-03-01T02:00:00Z", "2026-03-05T00:00:00Z");
    assert_eq!(skipped, (vec![], 1, None));
}

#[test]
fn years_of_missed_seconds_are_gone_through_in_parts_and_the_latest_run() {
    let timing = Timing::Interval { seconds: 1 };
    let (mut next, now) = (at("2026-03-01T00:00:00Z"), at("2026-03-02T00:00:00Z"));
    let (mut skipped, mut looks) = (0, 0);
    let last = loop {
        let ticks = tick(&timing, CatchUp::All { most: 1_000 }, next, now).unwrap();
        skipped += ticks.skipped;
        looks += 1;
        next = ticks.next_run_at.unwrap();
        if next > now {
            break ticks.slots;
        }
        assert!(ticks.slots.is_empty());
    };
    // 61 are on time: those of the last minute and the present second.
    assert_eq!((last.len(), last.len() + skipped), (1_061, 86_401));
    assert_eq!((last[0], last[1_060]), (at("2026-03-01T23:42:20Z"), now));
    assert!(looks < 30, "{looks}");
}

#[test]
fn timings_that_make_no_sense_are_refused_with_the_field() {
    let field = |timing: &Timing| match timing.plan().err() {
        Some(JobsError::Invalid { field, .. }) => field,
        _ => "none",
    };
    for expression in
        ["", "* * * *", "61 * * * *", "* * * * * * *", "@reboot", "a b c d e", "*/0 * * * *", "\0 * * * *"]
    {
        assert_eq!(field(&Timing::cron(expression, "UTC")), "expression", "{expression}");
    }
    assert_eq!(field(&Timing::cron("*".repeat(201), "UTC")), "expression");
    for zone in ["", "Mars/Olympus", "utc+1", "Europe/Berlin "] {
        assert_eq!(field(&Timing::cron("0 * * * *", zone)), "time_zone", "{zone}");
    }
    assert_eq!(field(&Timing::Interval { seconds: 0 }), "interval_seconds");
    assert_eq!(field(&Timing::Interval { seconds: 31_622_401 }), "interval_seconds");
    assert_eq!(field(&Timing::Once { at: DateTime::<Utc>::MAX_UTC }), "at");
    assert_eq!(field(&Timing::Interval { seconds: 31_622_400 }), "none");
    for catch_up in [CatchUp::All { most: 0 }, CatchUp::All { most: 1_001 }] {
        assert_eq!(catch_up.check().unwrap_err().code(), "validation");
    }
}

#[test]
fn timings_are_stored_as_they_are_shown() {
    let text = r#"{"type":"cron","expression":"0 3 * * *"}"#;
    let read: Timing = serde_json::from_str(text).unwrap();
    assert_eq!(read, Timing::cron("0 3 * * *", "UTC"));
    assert!(serde_json::from_str::<Timing>(r#"{"type":"interval","seconds":5,"minutes":1}"#).is_err());
    let written = serde_json::to_string(&Timing::Interval { seconds: 5 }).unwrap();
    assert_eq!(written, r#"{"type":"interval","seconds":5}"#);
}

#[test]
fn a_text_that_names_no_day_has_no_slot() {
    let slots = Timing::cron("0 0 30 2 *", "Europe/Berlin").upcoming(at("2026-03-01T00:00:00Z"), 1);
    assert!(slots.unwrap().is_empty());
}

/// Samoa went from 29 to 31 December 2011.
#[test]
fn a_day_that_a_time_zone_left_out_does_not_end_a_schedule() {
    let slots = Timing::cron("0 10 * * *", "Pacific/Apia").upcoming(at("2011-12-29T19:00:00Z"), 3).unwrap();
    let days: Vec<u32> =
        slots.iter().map(|slot| slot.with_timezone(&chrono_tz::Pacific::Apia).day()).collect();
    assert_eq!(days, [29, 31, 1]);
}

const ZONES: [&str; 8] = [
    "Europe/Berlin",
    "America/New_York",
    // By half an hour.
    "Australia/Lord_Howe",
    // At midnight.
    "Africa/Cairo",
    "America/Santiago",
    "Atlantic/Azores",
    // With the sign the other way round: winter is what is special.
    "Europe/Dublin",
    "Asia/Kolkata",
];

/// The hours at which the clocks of `zone` change in two years from 2025 on.
fn changes(zone: Tz) -> Vec<DateTime<Utc>> {
    let offset = |time: DateTime<Utc>| time.with_timezone(&zone).offset().fix().local_minus_utc();
    let hours = (0..2 * 365 * 24).map(|hour| at("2025-01-01T00:00:00Z") + TimeDelta::hours(hour));
    hours.filter(|hour| offset(*hour) != offset(*hour + TimeDelta::hours(1))).collect()
}

/// Every minute that the clocks of `zone` show what `shows` asks for, found by looking at each.
fn minutes(
    zone: Tz,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    shows: impl Fn(u32, u32) -> bool,
) -> Vec<DateTime<Utc>> {
    let all = std::iter::successors(Some(from), |time| Some(*time + TimeDelta::minutes(1)));
    let is_shown = |time: &DateTime<Utc>| {
        let local = time.with_timezone(&zone);
        shows(local.hour(), local.minute())
    };
    all.take_while(|time| *time < to).filter(is_shown).collect()
}

/// One moment per day: when the clocks first show `time`, or first show a later one when they leave it out.
fn daily(zone: Tz, days: std::ops::Range<DateTime<Utc>>, time: NaiveTime) -> Vec<DateTime<Utc>> {
    let first = days.start.with_timezone(&zone).date_naive();
    let moment = |day: chrono::NaiveDate| {
        let minutes = (0..1_440).map(|minutes| day.and_time(time) + TimeDelta::minutes(minutes));
        minutes.into_iter().find_map(|local| match zone.from_local_datetime(&local) {
            LocalResult::Single(moment) | LocalResult::Ambiguous(moment, _) => {
                Some(moment.with_timezone(&Utc))
            }
            LocalResult::None => None,
        })
    };
    first
        .iter_days()
        .filter_map(moment)
        .skip_while(|one| *one < days.start)
        .take_while(|one| *one < days.end)
        .collect()
}

fn slots(expression: &str, zone: Tz, range: &std::ops::Range<DateTime<Utc>>) -> Vec<DateTime<Utc>> {
    let plan = Timing::cron(expression, zone.name()).plan().unwrap();
    let before = range.start - TimeDelta::seconds(1);
    let all = std::iter::successors(plan.next_after(before), |slot| plan.next_after(*slot));
    all.take_while(|slot| *slot < range.end).collect()
}

#[test]
fn on_days_when_clocks_change_slots_are_where_the_clocks_show_them() {
    for name in ZONES {
        let zone: Tz = name.parse().unwrap();
        for change in changes(zone) {
            let range = change - TimeDelta::hours(40)..change + TimeDelta::hours(40);
            let every_five = minutes(zone, range.start, range.end, |_, minute| minute % 5 == 0);
            assert_eq!(slots("*/5 * * * *", zone, &range), every_five, "{name} {change}");
            let some = minutes(zone, range.start, range.end, |hour, minute| hour < 4 && minute == 30);
            assert_eq!(slots("30 0-3 * * *", zone, &range), some, "{name} {change}");
            let half_past = minutes(zone, range.start, range.end, |_, minute| minute == 30);
            assert_eq!(slots("30 * * * *", zone, &range), half_past, "{name} {change}");
        }
    }
}

#[test]
fn a_time_of_the_day_has_one_slot_on_each_day_of_two_years() {
    for name in ZONES {
        let zone: Tz = name.parse().unwrap();
        let range = at("2025-01-01T00:00:00Z")..at("2027-01-01T00:00:00Z");
        for (expression, hour, minute) in
            [("30 2 * * *", 2, 30), ("0 0 * * *", 0, 0), ("0 1 * * *", 1, 0), ("59 23 * * *", 23, 59)]
        {
            let expected = daily(zone, range.clone(), NaiveTime::from_hms_opt(hour, minute, 0).unwrap());
            assert_eq!(expected.len(), 730, "{name}");
            assert_eq!(slots(expression, zone, &range), expected, "{name} {expression}");
        }
    }
}

fn any_timing() -> impl Strategy<Value = Timing> {
    let texts = [
        "*/7 * * * *",
        "0 * * * *",
        "30 2 * * *",
        "15,45 1-3 * * *",
        "*/20 * * * * *",
        "0 12 L * *",
        "0 9 * * MON#1",
        "@daily",
    ];
    prop_oneof![
        (prop::sample::select(texts.to_vec()), prop::sample::select(ZONES.to_vec()))
            .prop_map(|(text, zone)| Timing::cron(text, zone)),
        (1_u32..100_000).prop_map(|seconds| Timing::Interval { seconds }),
        (0_i64..40_000_000).prop_map(|seconds| Timing::Once {
            at: at("2025-02-01T00:00:00Z") + TimeDelta::seconds(seconds)
        }),
    ]
}

fn any_catch_up() -> impl Strategy<Value = CatchUp> {
    prop_oneof![
        Just(CatchUp::Skip),
        Just(CatchUp::One),
        (1_u16..=1_000).prop_map(|most| CatchUp::All { most })
    ]
}

#[test]
fn a_text_that_names_no_time_is_refused_before_it_is_searched() {
    for text in [
        ", * * * *",
        "* , * * *",
        "* * * , *",
        "* * , * *",
        "* * * * ,",
        "1,,2 * * * *",
        "1, * * * *",
        ",1 * * * * *",
    ] {
        let refused = Timing::cron(text, "UTC").plan().err().map(|error| error.to_string());
        assert_eq!(refused.unwrap(), "`expression` is no cron text: a list has an empty item", "{text}");
    }
    for text in ["* * * *", "* * * * * * *", "* * * * * 2030", "@never", ""] {
        assert!(Timing::cron(text, "UTC").plan().is_err(), "{text}");
    }
}

#[test]
fn a_search_ends_soon_and_finds_what_comes_rarely() {
    let from = at("2026-03-01T12:00:00Z");
    // The iterations that a search has before it gives up are seconds of a year; these need a few years of days.
    for text in ["0 0 1 1 +MON#5", "* * * * L", "0 0 29 2 +1#1", "0 0 30 2 *"] {
        assert_eq!(Timing::cron(text, "UTC").plan().unwrap().next_after(from), None, "{text}");
    }
    // Clocks are put on at 2:00 on the second Sunday of March.
    let in_the_gap = Timing::cron("*/5 2 8 3 +SUN", "America/New_York").plan().unwrap();
    assert_eq!(in_the_gap.next_after(from), None);
    let leap_day = Timing::cron("0 0 29 2 +MON", "UTC").plan().unwrap();
    assert_eq!(
        leap_day.next_after(at("2072-03-01T00:00:00Z")).unwrap().to_rfc3339(),
        "2112-02-29T00:00:00+00:00"
    );
    assert_eq!(Timing::cron("@Yearly", "UTC").upcoming(from, 1).unwrap(), [at("2027-01-01T00:00:00Z")]);
    assert_eq!(
        Timing::cron("0 0 1 1 *", "UTC").plan().unwrap().next_after(at("+262142-01-01T00:00:00Z")),
        None
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever a clock shows from look to look, also earlier times than before.
    #[test]
    fn each_slot_is_decided_on_once(
        timing in any_timing(),
        catch_up in any_catch_up(),
        start in 0_i64..30_000_000,
        steps in prop::collection::vec(prop_oneof![8 => 0_i64..90, 4 => 0_i64..20_000, 1 => -7_200_i64..0, 1 => 0_i64..200_000], 1..60),
    ) {
        let start = at("2025-01-15T00:00:00Z") + TimeDelta::seconds(start);
        let plan = timing.plan().unwrap();
        let Some(first) = plan.next_after(start) else { return Ok(()) };
        let (mut next, mut now, mut latest) = (Some(first), start, start);
        let (mut ran, mut skipped) = (Vec::new(), 0);
        for step in steps {
            now += TimeDelta::seconds(step);
            latest = latest.max(now);
            let Some(from) = next else { break };
            let ticks = tick(&timing, catch_up, from, now).unwrap();
            prop_assert!(ticks.slots.iter().all(|slot| *slot >= from && *slot <= now));
            let missed = ticks.slots.iter().filter(|slot| now - **slot > ON_TIME).count();
            match catch_up {
                CatchUp::Skip => prop_assert_eq!(missed, 0),
                CatchUp::One => prop_assert!(missed <= 1 && (missed == 0 || ticks.slots.len() == 1)),
                CatchUp::All { most } => prop_assert!(missed <= usize::from(most)),
            }
            // What is left out is only what was missed.
            if ticks.skipped > 0 {
                prop_assert!(now - from > ON_TIME);
            }
            ran.extend(ticks.slots);
            skipped += ticks.skipped;
            next = ticks.next_run_at;
        }
        while let Some(from) = next.filter(|next| *next <= latest) {
            let ticks = tick(&timing, catch_up, from, latest).unwrap();
            ran.extend(ticks.slots);
            skipped += ticks.skipped;
            next = ticks.next_run_at;
        }
        let all: Vec<_> = std::iter::successors(Some(first), |slot| plan.next_after(*slot)).take_while(|slot| *slot <= latest).collect();
        prop_assert!(ran.is_sorted_by(|one, other| one < other));
        prop_assert_eq!(ran.len() + skipped, all.len());
        let all: BTreeSet<_> = all.into_iter().collect();
        prop_assert!(ran.iter().all(|slot| all.contains(slot)));
    }

    #[test]
    fn no_text_makes_the_reader_panic(expression in "[-0-9*/,#LW?@a-zA-Z +]{0,60}", zone in "[A-Za-z/_+0-9]{0,20}") {
        if let Ok(plan) = Timing::cron(expression, "UTC").plan() {
            let from = at("2026-03-01T12:00:00Z");
            prop_assert!(plan.next_after(from).is_none_or(|next| next > from));
        }
        let _ = Timing::cron("* * * * *", zone).plan();
    }
}
