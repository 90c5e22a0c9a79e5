use std::{
    any::{Any, TypeId},
    collections::HashMap,
    sync::Arc,
};

/// What a service adds to the platform handle: one value per type, set while the platform is put together and read-only
/// afterwards. There is no global registry.
#[derive(Clone, Default)]
pub struct Extensions(Arc<HashMap<TypeId, Box<dyn Any + Send + Sync>>>);

impl Extensions {
    /// The value of type `T`, when one was added.
    #[must_use]
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref()
    }
}

/// The same while it is still being filled.
#[derive(Default)]
pub(crate) struct ExtensionsDraft(HashMap<TypeId, Box<dyn Any + Send + Sync>>);

impl ExtensionsDraft {
    pub(crate) fn insert<T: Send + Sync + 'static>(&mut self, value: T) {
        self.0.insert(TypeId::of::<T>(), Box::new(value));
    }

    pub(crate) fn finish(self) -> Extensions {
        Extensions(Arc::new(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_type_and_no_other() {
        let mut draft = ExtensionsDraft::default();
        draft.insert(7_u32);
        draft.insert(8_u32);
        let extensions = draft.finish();
        assert_eq!((extensions.get::<u32>(), extensions.get::<u64>()), (Some(&8), None));
    }
}
