//! Rows of the tables that no operation has a use for any more: nothing else would ever find them.

use super::{
    IdPlace, Operation,
    control::{ENDS_ITS_SESSION, UNPROVEN, listed_as_unproven},
    group::{ONE_PAGE, TEXTS},
    rows::{NEEDED, OF_PLACES, of_place},
    samples::{QUERIES, WORDS, sampled},
};

/// What stands in a table of the matrix and is of no operation.
#[must_use]
pub fn dead_rows(operations: &[Operation]) -> Vec<String> {
    let has = |is_it: &dyn Fn(&Operation) -> bool| operations.iter().any(is_it);
    let takes = |is_it: &dyn Fn(&Operation, &IdPlace) -> bool| {
        has(&|operation| operation.ids.iter().any(|place| is_it(operation, place)))
    };
    let mut dead = Vec::new();
    let mut keep = |is_alive: bool, table: &str, row: &dyn std::fmt::Debug| {
        if !is_alive {
            dead.push(format!("{table}: {row:?}"));
        }
    };
    for route in sampled() {
        let is_it =
            |one: &Operation| one.takes_json() && route == format!("{} {}", one.method, one.canonical);
        keep(has(&is_it), "SAMPLES", &route);
    }
    for row @ (method, path, name, _) in QUERIES {
        let is_it = |one: &Operation| one.is(method, path) && one.filters.iter().any(|filter| filter == name);
        keep(has(&is_it), "QUERIES", &row);
    }
    for row @ (name, _) in WORDS {
        let part = format!("{{{name}}}");
        keep(has(&|one| one.path.contains(&part) && one.in_path(name).is_none()), "WORDS", &row);
    }
    for row @ (path, _) in NEEDED {
        // What is only read is asked of rows that have all there is.
        keep(has(&|one| one.canonical == path && !one.only_reads()), "NEEDED", &row);
    }
    for row in &OF_PLACES {
        keep(takes(&|one, place| of_place(one, place) == Some(row)), "OF_PLACES", row);
    }
    for row in &UNPROVEN {
        keep(takes(&|one, place| listed_as_unproven(one, place) == Some(row)), "UNPROVEN", row);
    }
    for row @ (method, path) in ENDS_ITS_SESSION {
        keep(has(&|one| one.is(method, path)), "ENDS_ITS_SESSION", &row);
    }
    for row @ (path, _) in ONE_PAGE {
        keep(takes(&|one, place| one.canonical == path && place.is_cursor()), "ONE_PAGE", &row);
    }
    for (name, _) in TEXTS {
        keep(has(&|one| one.filters.iter().any(|filter| filter == name)), "TEXTS", &name);
    }
    dead
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_is_no_operation_every_row_is_dead() {
        let dead = dead_rows(&[]);
        let of = |table: &str| dead.iter().filter(|row| row.starts_with(&format!("{table}: "))).count();
        assert_eq!(of("SAMPLES"), sampled().count());
        let tables = [
            (of("QUERIES"), QUERIES.len()),
            (of("WORDS"), WORDS.len()),
            (of("NEEDED"), NEEDED.len()),
            (of("OF_PLACES"), OF_PLACES.len()),
            (of("UNPROVEN"), UNPROVEN.len()),
            (of("ENDS_ITS_SESSION"), ENDS_ITS_SESSION.len()),
            (of("ONE_PAGE"), ONE_PAGE.len()),
            (of("TEXTS"), TEXTS.len()),
        ];
        assert!(tables.iter().all(|(found, rows)| found == rows), "{tables:?}");
    }
}
