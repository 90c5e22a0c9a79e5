use std::{
    mem,
    ops::{Deref, DerefMut},
};

use stylobate_core::{AuditEvent, DomainEvent};

use crate::{
    Conn, Db, Error, Pending, Scope, TransactError,
    conn::{Inner, State},
};

/// A place among the audit events of a transaction.
#[derive(Debug, Clone, Copy)]
pub struct AuditMark(usize);

/// A unit of work: a transaction, and the events that commit with it. Dropping it rolls back.
pub struct Tx {
    db: Db,
    conn: Conn,
    scope: Scope,
    read_only: bool,
    pending: Pending,
    /// Audit events that nothing replaces.
    further_audit: Vec<AuditEvent>,
    on_commit: Vec<Box<dyn FnOnce() + Send>>,
    hints: Vec<&'static str>,
}

impl Deref for Tx {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.conn
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.conn
    }
}

impl Tx {
    pub(crate) fn new(db: Db, conn: Conn, scope: Scope, read_only: bool) -> Self {
        Self {
            db,
            conn,
            scope,
            read_only,
            pending: Pending::default(),
            further_audit: Vec::new(),
            on_commit: Vec::new(),
            hints: Vec::new(),
        }
    }

    /// On whose rows it works.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Buffers an audit event, to be written with the change it describes.
    pub fn audit(&mut self, event: AuditEvent) {
        self.pending.audit.push(event);
    }

    /// Buffers an audit event that [`audit_instead`](Self::audit_instead) leaves in place: of something else that goes along with
    /// the change, for example of another tenant.
    pub fn audit_also(&mut self, event: AuditEvent) {
        self.further_audit.push(event);
    }

    /// Replaces the audit events buffered so far by one that says it all: for a caller that composes several stores into
    /// what is one change to its users.
    pub fn audit_instead(&mut self, event: AuditEvent) {
        self.pending.audit.clear();
        self.pending.audit.push(event);
    }

    /// Which audit events have been buffered so far, for [`audit_instead_since`](Self::audit_instead_since).
    #[must_use]
    pub fn audit_mark(&self) -> AuditMark {
        AuditMark(self.pending.audit.len())
    }

    /// Replaces the audit events buffered since `mark` by one that says it all: for what is one change to its users, and may be a part
    /// of a transaction that changes more.
    pub fn audit_instead_since(&mut self, mark: AuditMark, event: AuditEvent) {
        self.pending.audit.truncate(mark.0);
        self.pending.audit.push(event);
    }

    /// Buffers a domain event, to be published once the change has committed.
    pub fn emit(&mut self, event: DomainEvent) {
        self.pending.events.push(event);
    }

    /// Runs `hook` once the transaction has committed, for state in memory that follows the rows. It must be quick.
    pub fn on_commit(&mut self, hook: impl FnOnce() + Send + 'static) {
        self.on_commit.push(Box::new(hook));
    }

    /// Wakes whoever hears `topic` once the transaction has committed: see [`Hints`](crate::Hints). Costs no round trip. On
    /// PostgreSQL transactions with hints commit one after the other, which is nothing for hundreds of them a second.
    pub fn hint(&mut self, topic: &'static str) {
        if !self.hints.contains(&topic) {
            self.hints.push(topic);
        }
    }

    /// Runs `work` behind a savepoint: when it fails, only what it did is undone, and the transaction goes on. Needed on
    /// PostgreSQL, where any failed statement otherwise spoils the whole transaction.
    ///
    /// # Errors
    /// What `work` returns, or the database's own error.
    pub async fn nested<T, E, F>(&mut self, work: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&mut Self) -> Result<T, E>,
        E: TransactError,
    {
        self.q("SAVEPOINT nested").run().await?;
        let (audits, events, hooks) =
            (self.pending.audit.len(), self.pending.events.len(), self.on_commit.len());
        let further_audits = self.further_audit.len();
        match work(self).await {
            Ok(value) => {
                self.q("RELEASE SAVEPOINT nested").run().await?;
                Ok(value)
            }
            Err(error) => {
                self.pending.audit.truncate(audits);
                self.further_audit.truncate(further_audits);
                self.pending.events.truncate(events);
                self.on_commit.truncate(hooks);
                // It was sound when the savepoint was set.
                self.conn.state = State::Sound;
                self.q("ROLLBACK TO SAVEPOINT nested").run().await?;
                self.q("RELEASE SAVEPOINT nested").run().await?;
                Err(error)
            }
        }
    }

    /// Lets the participants write what was buffered, commits, and runs the hooks. The work goes on when the caller's
    /// future is dropped: a commit that has begun is never left half known.
    ///
    /// # Errors
    /// [`Error::Unclaimed`] when events were buffered that nobody takes, [`Error::Participant`] when one failed,
    /// [`Error::Spoiled`] when a statement did; then nothing has changed. [`Error::Unavailable`] while committing leaves open whether it happened, as with any
    /// database.
    pub async fn commit(mut self) -> Result<(), Error> {
        self.pending.audit.append(&mut self.further_audit);
        let shared = self.db.shared();
        if self.read_only {
            return if self.pending.is_empty() { self.rollback().await } else { Err(Error::ReadOnly) };
        }
        if !self.pending.audit.is_empty() && !shared.audit_is_taken {
            return Err(Error::Unclaimed("audit"));
        }
        if !self.pending.events.is_empty() && !shared.events_are_taken {
            return Err(Error::Unclaimed("domain"));
        }
        // With nothing to write before the commit and nothing to do after it, it cannot be left half done.
        if self.pending.is_empty() && self.on_commit.is_empty() {
            return self.commit_to_the_end().await;
        }
        tokio::spawn(self.commit_to_the_end()).await.map_err(|error| Error::Engine(Box::new(error)))?
    }

    async fn commit_to_the_end(mut self) -> Result<(), Error> {
        let db = self.db.clone();
        let pending = mem::take(&mut self.pending);
        let participants = if pending.is_empty() { &[] } else { db.shared().participants.as_slice() };
        for participant in participants {
            participant.before_commit(&mut self, &pending).await?;
        }
        if self.conn.state == State::Spoiled {
            return Err(Error::Spoiled);
        }
        match self.conn.engine() {
            #[cfg(feature = "postgres")]
            crate::Engine::Postgres if !self.hints.is_empty() => {
                let statement = crate::postgres::listen::notify(&self.hints) + "COMMIT";
                self.conn.end(&statement).await?;
            }
            _ => self.conn.end("COMMIT").await?,
        }
        for hook in self.on_commit {
            hook();
        }
        for participant in participants {
            participant.after_commit(&pending);
        }
        for topic in self.hints {
            db.shared().topics.wake(topic);
        }
        Ok(())
    }

    /// Undoes everything.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the connection is gone; the engine then undoes it by itself.
    pub async fn rollback(self) -> Result<(), Error> {
        self.conn.end("ROLLBACK").await
    }
}

impl Conn {
    async fn end(self, statement: &str) -> Result<(), Error> {
        match self.inner {
            #[cfg(feature = "postgres")]
            Inner::Postgres(link) => link.end(statement, self.statement_timeout).await,
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(link) => link.end(statement, self.statement_timeout).await,
        }
    }
}
