//! Who may come in.

use serde::Serialize;

use crate::log::Token;

/// Who calls, by the one name that every way of proving it yields: it is logged, and every limit
/// is counted by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Caller(Token);

impl Caller {
    /// The name.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}
