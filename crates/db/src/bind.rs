//! What can go into a statement and come out of a row, on every engine that is compiled in.

/// A value that can be bound to a parameter on every engine that is compiled in.
pub trait Bind: PostgresBind + SqliteBind + Send {}

impl<T: PostgresBind + SqliteBind + Send> Bind for T {}

/// A row type that can be read on every engine that is compiled in: derive it with `sqlx::FromRow`.
pub trait Record: PostgresRecord + SqliteRecord + Send + Unpin {}

impl<T: PostgresRecord + SqliteRecord + Send + Unpin> Record for T {}

macro_rules! engine_bounds {
    ($feature:literal, $database:path, $row:path, $bind:ident, $record:ident) => {
        #[doc = concat!("Can be bound when the feature `", $feature, "` is on.")]
        #[cfg(feature = $feature)]
        pub trait $bind: for<'q> sqlx::Encode<'q, $database> + sqlx::Type<$database> {}
        #[cfg(feature = $feature)]
        impl<T: for<'q> sqlx::Encode<'q, $database> + sqlx::Type<$database>> $bind for T {}
        #[doc = concat!("Can be bound when the feature `", $feature, "` is on.")]
        #[cfg(not(feature = $feature))]
        pub trait $bind {}
        #[cfg(not(feature = $feature))]
        impl<T> $bind for T {}

        #[doc = concat!("Can be read when the feature `", $feature, "` is on.")]
        #[cfg(feature = $feature)]
        pub trait $record: for<'r> sqlx::FromRow<'r, $row> {}
        #[cfg(feature = $feature)]
        impl<T: for<'r> sqlx::FromRow<'r, $row>> $record for T {}
        #[doc = concat!("Can be read when the feature `", $feature, "` is on.")]
        #[cfg(not(feature = $feature))]
        pub trait $record {}
        #[cfg(not(feature = $feature))]
        impl<T> $record for T {}
    };
}

engine_bounds!("postgres", sqlx::Postgres, sqlx::postgres::PgRow, PostgresBind, PostgresRecord);
engine_bounds!("sqlite", sqlx::Sqlite, sqlx::sqlite::SqliteRow, SqliteBind, SqliteRecord);

/// The values of one statement, already in the engine's own form.
pub(crate) enum Values {
    #[cfg(feature = "postgres")]
    Postgres(sqlx::postgres::PgArguments),
    #[cfg(feature = "sqlite")]
    Sqlite(sqlx::sqlite::SqliteArguments),
}

impl Values {
    pub(crate) fn add<T: Bind>(&mut self, value: T) -> Result<(), crate::Error> {
        #[cfg(any(feature = "postgres", feature = "sqlite"))]
        use sqlx::Arguments as _;
        let added: Result<(), sqlx::error::BoxDynError> = match *self {
            #[cfg(feature = "postgres")]
            Self::Postgres(ref mut values) => values.add(value),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(ref mut values) => values.add(value),
        };
        added.map_err(|error| crate::Error::Statement(error.to_string()))
    }

    pub(crate) fn count(&self) -> usize {
        #[cfg(any(feature = "postgres", feature = "sqlite"))]
        use sqlx::Arguments as _;
        match *self {
            #[cfg(feature = "postgres")]
            Self::Postgres(ref values) => values.len(),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(ref values) => values.len(),
        }
    }
}
