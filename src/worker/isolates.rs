//! The isolates of the core in one instance of wasm: one for each configuration.
//!
//! JavaScript keeps the number of an isolate, so that a request need not read the configuration.

use std::cell::RefCell;

use sha2::{Digest, Sha256};

use super::glue::Platform;
use crate::config::{Config, ConfigError};
use crate::server::Isolate;

/// The most configurations. Each takes some KiB that are never freed, so options must not come from requests.
const MAX: usize = 1000;

thread_local! {
    static ISOLATES: RefCell<Isolates> = RefCell::default();
}

#[derive(Default)]
struct Isolates {
    /// The number of the first one.
    base: u32,
    /// The isolates, with the hash of what they were made from.
    known: Vec<([u8; 32], &'static Isolate)>,
    /// The isolate of every configuration that is one too many.
    surplus: Option<&'static Isolate>,
}

impl Isolates {
    fn get(&self, id: u32) -> Option<&'static Isolate> {
        let at = usize::try_from(id.checked_sub(self.base)?).ok()?;
        self.known.get(at).map(|(_, isolate)| *isolate)
    }

    /// Adds an isolate and returns its number, or none for one too many.
    fn add(&mut self, hash: [u8; 32], first: u32, mut isolate: Isolate) -> Option<u32> {
        if let Some((_, first)) = self.known.first() {
            isolate.share_memory(first);
        }
        if self.known.is_empty() {
            self.base = first;
        }
        if self.known.len() == MAX {
            return None;
        }
        let id = self.base.checked_add(u32::try_from(self.known.len()).ok()?)?;
        self.known.push((hash, Box::leak(Box::new(isolate))));
        Some(id)
    }

    fn id_of(&self, hash: &[u8; 32]) -> Option<u32> {
        let at = self.known.iter().position(|(known, _)| known == hash)?;
        self.base.checked_add(u32::try_from(at).ok()?)
    }
}

/// Returns the isolate with this number, or the one of the platform's configuration. The platform learns the number.
///
/// Platforms share an isolate only if their options are the same and every variable that the configuration reads.
pub(super) fn find(platform: &Platform, id: u32) -> &'static Isolate {
    if let Some(isolate) = ISOLATES.with_borrow(|isolates| isolates.get(id)) {
        return isolate;
    }
    let read = RefCell::new(Sha256::new_with_prefix(platform.key()));
    let config = Config::from_vars(|name| {
        let value = platform.variable(name);
        let mut read = read.borrow_mut();
        // Neither a name nor a text of JavaScript has a byte 255 in UTF-8.
        read.update(name);
        read.update([255]);
        read.update(value.as_deref().unwrap_or_default());
        read.update([255, u8::from(value.is_some())]);
        value
    });
    let hash = read.into_inner().finalize().into();
    let first = platform.next();
    let id = ISOLATES.with_borrow(|isolates| isolates.id_of(&hash)).or_else(|| {
        let isolate = Isolate::new(config.map_err(|error| prefixed(error, &platform.prefix())));
        isolate.warnings().iter().for_each(|line| platform.log_line(line));
        ISOLATES.with_borrow_mut(|isolates| isolates.add(hash, first, isolate))
    });
    if let Some(id) = id {
        platform.adopt(id);
    }
    ISOLATES.with_borrow_mut(|isolates| {
        id.and_then(|id| isolates.get(id)).unwrap_or_else(|| {
            isolates.surplus.get_or_insert_with(|| Box::leak(Box::new(surplus())))
        })
    })
}

/// Puts the prefix in front of each problem, which begins with the name of a variable.
fn prefixed(ConfigError { problems }: ConfigError, prefix: &str) -> ConfigError {
    ConfigError { problems: problems.iter().map(|it| format!("{prefix}{it}")).collect() }
}

fn surplus() -> Isolate {
    let problem = format!(
        "expected at most {MAX} configurations in one isolate: make no options of requests"
    );
    Isolate::new(Err(ConfigError { problems: vec![problem] }))
}
