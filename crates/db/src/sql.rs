use std::borrow::Cow;

use crate::{Bind, Engine, Error, bind::Values};

/// The text of a statement.
#[derive(Debug, Clone, Copy)]
pub enum Sql {
    /// Both engines understand it.
    Same(&'static str),
    /// The engines differ.
    Per {
        /// For PostgreSQL.
        pg: &'static str,
        /// For SQLite.
        lite: &'static str,
    },
}

impl Sql {
    pub(crate) fn text(self, engine: Engine) -> &'static str {
        match (self, engine) {
            (Self::Same(text), _)
            | (Self::Per { pg: text, .. }, Engine::Postgres)
            | (Self::Per { lite: text, .. }, Engine::Sqlite) => text,
        }
    }
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self::Same(text)
    }
}

/// A statement put together at run time, for optional filters and multi-row inserts. Text enters only as `&'static str`,
/// everything else as a bound value, so no input can become SQL.
///
/// ```
/// use stylobate_db::{Engine, SqlBuilder};
///
/// let mut sql = SqlBuilder::new(Engine::Sqlite, "SELECT id FROM roles WHERE tenant_id = ");
/// sql.value(1_i64).push(" AND name = ").value("admin");
/// assert_eq!(sql.text(), "SELECT id FROM roles WHERE tenant_id = $1 AND name = $2");
/// ```
pub struct SqlBuilder {
    pub(crate) text: String,
    pub(crate) values: Result<Values, Error>,
    engine: Engine,
    count: usize,
}

impl SqlBuilder {
    /// A statement for `engine` that begins with `text`.
    ///
    /// Ask the connection for one ([`Conn::builder`](crate::Conn::builder)) rather than naming the engine.
    #[must_use]
    pub fn new(engine: Engine, text: &'static str) -> Self {
        Self { text: text.to_owned(), values: engine.values(), engine, count: 0 }
    }

    /// The engine it is for.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// The text so far.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Adds text.
    pub fn push(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Adds the engine's own text.
    pub fn push_sql(&mut self, sql: impl Into<Sql>) -> &mut Self {
        self.text.push_str(sql.into().text(self.engine));
        self
    }

    /// Adds a parameter bound to `value`.
    pub fn value(&mut self, value: impl Bind) -> &mut Self {
        self.count += 1;
        if let Ok(values) = &mut self.values
            && let Err(error) = values.add(value)
        {
            self.values = Err(error);
        }
        self.text.push('$');
        self.text.push_str(&self.count.to_string());
        self
    }

    /// Adds ` LIMIT` with a parameter, 0 or more. Not with the parameter alone: SQLite (since 3.47) would look at its value, and prepare
    /// the statement again each time it is bound. Write `LIMIT 0 + $1` in texts of your own.
    pub fn limit(&mut self, most: i64) -> &mut Self {
        self.push(" LIMIT 0 + ").value(most)
    }

    /// Adds a parenthesised list of parameters, `($1, $2, …)`; an empty one matches nothing. As [`each`](Self::each) does, it repeats the
    /// last.
    pub fn list<T: Bind + Clone>(&mut self, values: impl IntoIterator<Item = T>) -> &mut Self {
        self.push("(");
        let before = self.count;
        self.each(", ", values, |sql, value| {
            sql.value(value);
        });
        if self.count == before {
            self.push("NULL");
        }
        self.push(")")
    }

    /// Adds what `part` adds for each of `all`, with `separator` between them. Up to 256, the last comes again until there are 1, 2, 4,
    /// 8 …: statements of every length would be prepared, and push others out of the cache. So it is for what means the same when it is
    /// said twice, and not for rows to be inserted.
    pub fn each<T: Clone>(
        &mut self,
        separator: &'static str,
        all: impl IntoIterator<Item = T>,
        mut part: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        let mut all: Vec<T> = all.into_iter().collect();
        let padded = all.len().next_power_of_two();
        if let Some(last) = all.last().cloned()
            && padded <= PADDED_MAX
        {
            all.resize(padded, last);
        }
        for (n, one) in all.into_iter().enumerate() {
            if n > 0 {
                self.push(separator);
            }
            part(self, one);
        }
        self
    }
}

/// Longer lists are rare, and there is a number of parameters that engines take at most.
const PADDED_MAX: usize = 256;

/// The highest parameter number in a text, to catch missing values: SQLite would silently read NULL.
pub(crate) fn highest_parameter(text: &str) -> usize {
    let mut highest = 0;
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('$') {
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        if let Some(number) = after.get(..digits).and_then(|digits| digits.parse().ok()) {
            highest = highest.max(number);
        }
        rest = after;
    }
    highest
}

pub(crate) type Text = Cow<'static, str>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_parameter_is_found_whatever_the_order() {
        assert_eq!(highest_parameter("a = $2 OR b = $10 OR c = $1"), 10);
        assert_eq!(highest_parameter("CAST(x ->> '$.k' AS text)"), 0);
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn an_empty_list_matches_nothing() {
        let mut sql = SqlBuilder::new(Engine::Sqlite, "x IN ");
        sql.list(Vec::<i64>::new()).push(" AND y IN ").list([1_i64, 2]);
        assert_eq!(sql.text(), "x IN (NULL) AND y IN ($1, $2)");
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn lists_of_many_lengths_have_few_texts() {
        let text = |values: i64| {
            let mut sql = SqlBuilder::new(Engine::Sqlite, "");
            sql.list(0..values).limit(7);
            sql.text().to_owned()
        };
        assert_eq!(text(3), "($1, $2, $3, $4) LIMIT 0 + $5");
        let mut texts: Vec<String> = (1..=PADDED_MAX as i64).map(text).collect();
        texts.dedup();
        assert_eq!(texts.len(), 9);
        assert_eq!(text(300).matches('$').count(), 301);
    }
}
