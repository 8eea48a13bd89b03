//! How much is in a model, and how much may happen in it, so that it has an end.

/// What a run can do without, and what could go on for ever if it were not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Twist {
    Crash,
    FailOver,
    StepForward,
    StepBack,
    LostReply,
    Death,
    Release,
    Heartbeat,
}

impl Twist {
    pub const ALL: &'static [Self] = &[
        Self::Crash,
        Self::FailOver,
        Self::StepForward,
        Self::StepBack,
        Self::LostReply,
        Self::Death,
        Self::Release,
        Self::Heartbeat,
    ];
}

/// The size of a model.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub workers: usize,
    pub jobs: usize,
    pub max_attempts: u8,
    /// How many there are in a run, of these kinds, in any order, the same one twice among them.
    pub twists: u8,
    pub of: &'static [Twist],
}

impl Bounds {
    pub fn has(&self, twist: Twist) -> bool {
        self.of.contains(&twist)
    }
}
