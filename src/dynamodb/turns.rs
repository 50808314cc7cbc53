//! Turns as items: a turn that is longer than an item is several.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::item::{EXPIRES_AT, Item, SK};
use crate::host::StoredTurn;

/// The most bytes of a turn in one item, which with its keys has to stay below 400 KB. BatchWriteItem takes 25 of these: in
/// base64 they have 12 MB, and it takes 16.
const PART_BYTES: usize = 350 << 10;

/// Returns the sort keys between which the turns of a session are, from a position on up to another, which is not included.
pub(super) fn range(epoch: &str, from: u64, to: u64) -> (String, String) {
    (sort(epoch, from), sort(epoch, to))
}

fn sort(epoch: &str, position: u64) -> String {
    format!("turn#{epoch}#{position:020}")
}

/// Writes a turn as items.
pub(super) fn to_items(
    partition: &str,
    epoch: &str,
    fence: u64,
    turn: &StoredTurn,
    expires_at: u64,
) -> Vec<Item> {
    let position = turn.position;
    // An empty turn is one item too.
    let count = turn.sealed.len().div_ceil(PART_BYTES).max(1);
    let part = |number: usize| {
        let content = turn.sealed.chunks(PART_BYTES).nth(number).unwrap_or_default();
        let sort = format!("{}#{fence:020}#{number:05}", sort(epoch, position));
        let item = Item::key(partition, &sort)
            .with_number("position", position)
            .with_number("fence", fence)
            .with_number("parts", count as u64)
            .with_number(EXPIRES_AT, expires_at);
        // Absent means empty.
        if content.is_empty() { item } else { item.with_bytes("content", content) }
    };
    (0..count).map(part).collect()
}

/// The items of the turns of a session, put together in the order of their sort keys.
#[derive(Default)]
pub(super) struct Turns(BTreeMap<u64, Candidate>);

/// The turn at one position with the highest fence so far.
struct Candidate {
    fence: u64,
    parts: u64,
    found: u64,
    content: Vec<u8>,
}

impl Turns {
    /// Adds an item. Ignores one of another epoch, and what is no turn.
    pub fn add(&mut self, item: &Item, epoch: &str) {
        let is_of_epoch = item
            .text(SK)
            .and_then(|sort| sort.strip_prefix("turn#")?.strip_prefix(epoch)?.strip_prefix('#'))
            .is_some();
        let number = |name| item.number(name);
        let (Some(position), Some(fence), Some(parts), true) =
            (number("position"), number("fence"), number("parts"), is_of_epoch)
        else {
            return;
        };
        let new = || Candidate { fence, parts, found: 0, content: Vec::new() };
        let candidate = self.0.entry(position).or_insert_with(new);
        if candidate.fence != fence {
            *candidate = new();
        }
        candidate.found += 1;
        candidate.content.extend(item.bytes("content").unwrap_or_default());
    }

    /// Returns the turns from a position on up to another, which is not included; `None` if one of them is not whole.
    pub fn take(&mut self, from: u64, to: u64) -> Option<Vec<StoredTurn>> {
        let turn = |position| {
            let Candidate { parts, found, content, .. } = self.0.remove(&position)?;
            (parts == found).then(|| StoredTurn { position, sealed: Bytes::from(content) })
        };
        (from..to).map(turn).collect()
    }
}
