//! The protocol, and the protocol with one mistake in it.

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// Nothing.
    Sound,
    /// A token is the next number of a sequence in the database, which forgets what was not flushed or not replicated.
    CounterAsToken,
    /// The rescuer goes by the time since the claim, so that a heartbeat is for nothing.
    ElapsedTime,
    /// The rescuer does not look at the lease again when it has locked the row.
    StaleReading,
    /// A finish goes by the id of the job, whatever its token.
    OnlyTheId,
    /// A job that the rescuer ended keeps its token, as if the holder of that had ended it.
    TokenLeftBehind,
}
