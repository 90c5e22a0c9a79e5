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
    /// Foreign ids in these places, whose values `value` knows, and ids of about the same time that nothing has.
    #[must_use]
    pub fn of<'a>(
        places: impl IntoIterator<Item = &'a IdPlace>,
        mut value: impl FnMut(&IdPlace) -> String,
        random: &mut fastrand::Rng,
    ) -> Self {
        let (mut foreign, mut missing, mut label) = (Vec::new(), Vec::new(), Vec::new());
        for place in places {
            let id = value(place);
            missing.push((place.clone(), id_like(&id, random)));
            foreign.push((place.clone(), id));
            label.push(place.to_string());
        }
        Self { label: label.join(" and "), foreign, missing }
    }

    /// Each place of `operation` by itself; and all of its path at once, as whoever guesses a whole path would ask.
    #[must_use]
    pub fn all(world: &World, operation: &Operation, random: &mut fastrand::Rng) -> Vec<Self> {
        let value = |place: &IdPlace| world.foreign.row(row_of(operation, place)).to_owned();
        let places = operation.ids.iter().filter(|place| !place.is_cursor());
        let mut trials: Vec<Self> = places.map(|place| Self::of([place], value, random)).collect();
        if operation.path_ids().count() > 1 {
            trials.push(Self::of(operation.path_ids(), value, random));
        }
        trials
    }

    /// The values that were sent.
    pub fn sent(values: &[(IdPlace, String)]) -> impl Iterator<Item = &str> {
        values.iter().map(|(_, value)| value.as_str())
    }
}
