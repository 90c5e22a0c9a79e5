use std::collections::BTreeMap;

use super::{IdPlace, Operation, World, id_like, rows::row_of};

/// One thing that is tried on an operation: foreign values in some of its places, and values that nothing has in the same.
#[derive(Debug, Clone)]
pub struct Trial {
    /// Which places, for messages.
    pub label: String,
    /// What the foreign organisation has.
    pub foreign: Vec<(IdPlace, String)>,
    /// What nobody has.
    pub missing: Vec<(IdPlace, String)>,
}

impl Trial {
    /// Foreign ids in these places, whose values `value` knows, and ids of about the same time that nothing has: where two places
    /// have the same, these have, too.
    #[must_use]
    pub fn of<'a>(
        places: impl IntoIterator<Item = &'a IdPlace>,
        mut value: impl FnMut(&IdPlace) -> String,
        random: &mut fastrand::Rng,
    ) -> Self {
        let (mut foreign, mut missing, mut label) = (Vec::new(), Vec::new(), Vec::new());
        let mut nobodys = BTreeMap::new();
        for place in places {
            let id = value(place);
            let like = nobodys.entry(id.clone()).or_insert_with(|| id_like(&id, random)).clone();
            missing.push((place.clone(), like));
            foreign.push((place.clone(), id));
            label.push(place.to_string());
        }
        Self { label: label.join(" and "), foreign, missing }
    }

    /// Each place of `operation` by itself; all of its path at once, as whoever guesses a whole path would ask; and all there are, whose
    /// rows then belong together, but not to home.
    #[must_use]
    pub fn all(world: &World, operation: &Operation, random: &mut fastrand::Rng) -> Vec<Self> {
        let value = |place: &IdPlace| world.foreign.row(row_of(operation, place)).to_owned();
        let places: Vec<&IdPlace> = operation.ids.iter().filter(|place| !place.is_cursor()).collect();
        let mut trials: Vec<Self> = places.iter().map(|place| Self::of([*place], value, random)).collect();
        let in_path = operation.path_ids().count();
        if in_path > 1 {
            trials.push(Self::of(operation.path_ids(), value, random));
        }
        if places.len() > in_path.max(1) {
            trials.push(Self::of(places, value, random));
        }
        trials
    }

    /// The values that were sent.
    pub fn sent(values: &[(IdPlace, String)]) -> impl Iterator<Item = &str> {
        values.iter().map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Position;

    #[test]
    fn what_two_places_have_alike_they_miss_alike() {
        let place = |name: &str| IdPlace { position: Position::Body, name: name.into(), kind: "x".into() };
        let places = [place("a_id"), place("b_id"), place("c_id")];
        let value = |place: &IdPlace| match place.name.as_str() {
            "c_id" => "0191e000-0000-7000-8000-0000000000a2".to_owned(),
            _ => "0191e000-0000-7000-8000-0000000000a1".to_owned(),
        };
        let trial = Trial::of(&places, value, &mut fastrand::Rng::with_seed(1));
        let missing: Vec<&str> = Trial::sent(&trial.missing).collect();
        assert_eq!(missing[0], missing[1]);
        assert_ne!(missing[0], missing[2]);
        assert!(Trial::sent(&trial.foreign).all(|id| !missing.contains(&id)));
    }
}
