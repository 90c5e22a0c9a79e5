use std::{future::Future, pin::Pin};

/// A boxed future: what the methods of object-safe traits return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
