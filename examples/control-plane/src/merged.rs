//! Merge patches of bodies that say all of what something shall be.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use stylobate::{
    core::Problem,
    middleware::{ApiError, MergePatch, StrictJson},
};

use crate::refused::Refused;

/// What a JSON merge patch (RFC 7396) makes of a shape: what is not named stays, `null` takes away.
pub(crate) fn merged<T: DeserializeOwned>(shape: &impl Serialize, patch: &MergePatch) -> Result<T, Refused> {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(shape) else {
        return Err(Problem::internal().into());
    };
    patch.apply(&mut fields);
    let read = StrictJson::<T>::from_value(Value::Object(fields));
    read.map_err(|error: ApiError| error.problem().clone().into())
}
