//! A lock that does not panic.
//!
//! Out of scope: waiting. None is held while something is awaited.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Nothing is left half done by who panics, which nobody does.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
