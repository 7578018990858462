//! What became of what was to be kept.

use crate::memory::Memory;
use crate::secrets::SecretKind;

/// What became of a new memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The memory as it is kept now.
    pub memory: Memory,
    /// Whether it was there before and says the same.
    pub duplicate: bool,
    /// Kinds of secrets that were masked before it was kept.
    pub masked: Vec<SecretKind>,
}

/// What became of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RememberedConversation {
    /// A memory per turn, in order.
    pub memories: Vec<Memory>,
    /// Kinds of secrets that were masked before they were kept.
    pub masked: Vec<SecretKind>,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The memory as it is kept now.
    pub memory: Memory,
    /// Kinds of secrets that were masked before it was kept.
    pub masked: Vec<SecretKind>,
}
