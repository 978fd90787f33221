//! Pure: sets of completion indexes and how a status writes them, such as `0,2-4`.

use std::{collections::BTreeSet, fmt};

/// A set of completion indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Indexes(BTreeSet<i64>);

/// More than any Job may have, so that a forged status does not fill the memory.
const MOST: i64 = 1_000_000;

impl Indexes {
    /// Reads the text of a status; what cannot be read is left out.
    pub(super) fn parse(text: &str) -> Self {
        let ranges = text.split(',').filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (first.parse::<i64>().ok()?, last.parse::<i64>().ok()?);
            (0 <= first && last < MOST).then_some(first..=last)
        });
        Self(ranges.flatten().collect())
    }

    pub(super) fn extend(&mut self, indexes: impl IntoIterator<Item = i64>) {
        self.0.extend(indexes);
    }

    pub(super) fn contains(&self, index: i64) -> bool {
        self.0.contains(&index)
    }

    pub(super) fn len(&self) -> i64 {
        i64::try_from(self.0.len()).unwrap_or(i64::MAX)
    }
}

impl fmt::Display for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<i64> = self.0.iter().copied().collect();
        let runs = all.chunk_by(|one, two| one + 1 == *two).filter_map(|run| {
            let (first, last) = (run.first()?, run.last()?);
            Some(match last - first {
                0 => first.to_string(),
                // Two in a row are written one by one.
                1 => format!("{first},{last}"),
                _ => format!("{first}-{last}"),
            })
        });
        f.write_str(&runs.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_written_as_ranges_and_read_again() {
        for text in ["", "3", "0,1", "0-2", "0,2-4,7,8"] {
            assert_eq!(Indexes::parse(text).to_string(), text);
        }
        assert_eq!(Indexes::parse("x,1-,2,-3,0-99999999999").to_string(), "2");
    }
}
