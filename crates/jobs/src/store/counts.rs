use std::collections::BTreeMap;

use stylobate_db::{Conn, Error, Tx};

use crate::State;

/// By how much the counts of a transaction change.
#[derive(Debug, Default)]
pub(crate) struct Tally(BTreeMap<(String, State), i64>);

impl Tally {
    /// Notes that a job of `queue` went `from` one state `to` another; `None` is outside the table.
    pub(crate) fn moved(&mut self, queue: &str, from: Option<State>, to: Option<State>) {
        if from == to {
            return;
        }
        for (state, change) in [(from, -1), (to, 1)] {
            if let Some(state) = state {
                *self.0.entry((queue.to_owned(), state)).or_default() += change;
            }
        }
    }

    /// Writes them. Adds rows and touches none, so that nobody waits for anybody.
    pub(crate) async fn write(self, tx: &mut Tx) -> Result<(), Error> {
        let mut sql = tx.builder("INSERT INTO job_count_changes (queue, state, change) VALUES ");
        let mut is_first = true;
        for ((queue, state), change) in self.0.into_iter().filter(|(_, change)| *change != 0) {
            if !is_first {
                sql.push(", ");
            }
            is_first = false;
            sql.push("(").value(queue).push(", ").value(state.as_str()).push(", ").value(change).push(")");
        }
        if !is_first {
            tx.q_build(sql).run().await?;
        }
        Ok(())
    }
}

#[derive(sqlx::FromRow)]
struct CountRow {
    queue: String,
    state: String,
    jobs: i64,
}

/// How many jobs there are by queue and state.
pub(crate) async fn read(conn: &mut Conn) -> Result<BTreeMap<(String, State), u64>, Error> {
    let rows = conn
        .q("SELECT queue, state, CAST(sum(jobs) AS bigint) AS jobs FROM (
                SELECT queue, state, jobs FROM job_counts
                UNION ALL SELECT queue, state, change FROM job_count_changes) AS parts
            GROUP BY queue, state")
        .all::<CountRow>()
        .await?;
    let count = |row: CountRow| Some(((row.queue, row.state.parse().ok()?), row.jobs.max(0).unsigned_abs()));
    Ok(rows.into_iter().filter_map(count).collect())
}

/// Adds what has changed to the sums; returns how many changes it took.
pub(crate) async fn draw(tx: &mut Tx, most: i64) -> Result<usize, Error> {
    #[derive(sqlx::FromRow)]
    struct Taken {
        queue: String,
        state: String,
        change: i64,
    }
    let taken = tx
        .q(stylobate_db::Sql::Per {
            pg: "DELETE FROM job_count_changes WHERE id IN (
                     SELECT id FROM job_count_changes ORDER BY id LIMIT 0 + $1 FOR UPDATE SKIP LOCKED)
                 RETURNING queue, state, change",
            lite: "DELETE FROM job_count_changes WHERE id IN (
                       SELECT id FROM job_count_changes ORDER BY id LIMIT 0 + $1)
                   RETURNING queue, state, change",
        })
        .bind(most)
        .all::<Taken>()
        .await?;
    let mut sums: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for row in &taken {
        *sums.entry((&row.queue, &row.state)).or_default() += row.change;
    }
    // In one order everywhere, so that two who draw at once cannot wait for each other.
    for ((queue, state), change) in sums {
        tx.q("INSERT INTO job_counts (queue, state, jobs) VALUES ($1, $2, $3)
              ON CONFLICT (queue, state) DO UPDATE SET jobs = job_counts.jobs + excluded.jobs")
            .bind(queue.to_owned())
            .bind(state.to_owned())
            .bind(change)
            .run()
            .await?;
    }
    Ok(taken.len())
}
