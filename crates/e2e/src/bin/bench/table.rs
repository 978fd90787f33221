//! Pure: what was measured, what was wanted, and both as a table.

use std::fmt::Write as _;

/// One line of the table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    pub(crate) ours: Option<f64>,
    pub(crate) reference: Option<f64>,
    /// Ours by the reference's; the median over pairs, where there are some.
    pub(crate) ratio: Option<f64>,
    pub(crate) target: Target,
}

/// What is wanted of a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    /// It is only told.
    None,
    AtMost(f64),
    AtLeast(f64),
    Exactly(f64),
    /// It is at least so many times the reference's.
    Times(f64),
    /// It is at most so many times the reference's.
    AtMostTimes(f64),
}

/// What became of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Met,
    Missed,
    NotRun,
    NotJudged,
}

/// What was measured on both sides, pair by pair.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    pub(crate) ours: Vec<f64>,
    pub(crate) reference: Vec<f64>,
}

impl Samples {
    /// Returns the line for these samples.
    pub(crate) fn row(&self, what: &str, unit: &'static str, target: Target) -> Row {
        let pairs = self.ours.iter().zip(&self.reference);
        let ratios: Vec<f64> = pairs.map(|(ours, reference)| ours / reference).collect();
        let what = what.to_owned();
        let (ours, reference) = (median(&self.ours), median(&self.reference));
        Row { what, unit, ours, reference, ratio: median(&ratios), target }
    }
}

impl Row {
    /// Returns whether a target was measured and missed.
    pub(crate) fn is_missed(&self) -> bool {
        self.verdict() == Verdict::Missed
    }

    fn verdict(&self) -> Verdict {
        let met = match self.target {
            Target::None => return Verdict::NotJudged,
            Target::AtMost(most) => self.ours.map(|ours| ours <= most),
            Target::AtLeast(least) => self.ours.map(|ours| least <= ours),
            // Counts of a whole number of parents: any other figure is further off than this.
            Target::Exactly(wanted) => self.ours.map(|ours| (ours - wanted).abs() < 1e-6),
            Target::Times(times) => self.ratio.map(|ratio| times <= ratio),
            Target::AtMostTimes(times) => self.ratio.map(|ratio| ratio <= times),
        };
        match met {
            Some(true) => Verdict::Met,
            Some(false) => Verdict::Missed,
            None => Verdict::NotRun,
        }
    }

    fn cells(&self) -> [String; 6] {
        let show = |figure: Option<f64>| {
            figure.map_or_else(|| "not run".to_owned(), |figure| self.figure(figure))
        };
        let target = match self.target {
            Target::None => String::new(),
            Target::AtMost(most) => format!("<= {}", self.figure(most)),
            Target::AtLeast(least) => format!(">= {}", self.figure(least)),
            Target::Exactly(wanted) => format!("= {}", self.figure(wanted)),
            Target::Times(times) => format!(">= {times} x reference"),
            Target::AtMostTimes(times) => format!("<= {times} x reference"),
        };
        let verdict = match self.verdict() {
            Verdict::Met => "met",
            Verdict::Missed => "MISSED",
            Verdict::NotRun => "not run",
            Verdict::NotJudged => "",
        };
        let ratio = self.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        [
            self.what.clone(),
            show(self.ours),
            show(self.reference),
            ratio,
            target,
            verdict.to_owned(),
        ]
    }

    fn figure(&self, figure: f64) -> String {
        let digits = if figure.abs() < 10.0 { 2 } else { usize::from(figure.abs() < 100.0) };
        let space = if self.unit.starts_with('/') || self.unit.is_empty() { "" } else { " " };
        format!("{figure:.digits$}{space}{}", self.unit)
    }
}

/// Returns the middle of some figures.
pub(crate) fn median(figures: &[f64]) -> Option<f64> {
    let mut figures = figures.to_vec();
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    let upper = *figures.get(middle)?;
    Some(if figures.len() % 2 == 1 {
        upper
    } else {
        figures.get(middle.wrapping_sub(1)).map_or(upper, |lower| lower.midpoint(upper))
    })
}

/// Returns the figure that 99 of 100 do not exceed.
pub(crate) fn p99(figures: &[f64]) -> Option<f64> {
    let mut figures = figures.to_vec();
    figures.sort_by(f64::total_cmp);
    let rank = (figures.len() * 99).div_ceil(100);
    figures.get(rank.checked_sub(1)?).copied()
}

/// Writes rows as a table.
pub(crate) fn text(rows: &[Row]) -> String {
    let head = ["", "ours", "reference", "ratio", "target", "verdict"].map(ToOwned::to_owned);
    let lines: Vec<_> = std::iter::once(head).chain(rows.iter().map(Row::cells)).collect();
    let width = |column: usize| {
        lines.iter().filter_map(|it| it.get(column)).map(|it| it.chars().count()).max()
    };
    let widths: Vec<usize> = (0..6).filter_map(width).collect();
    let mut text = String::new();
    for line in lines {
        let mut row = String::new();
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let gap = if column == 0 { "" } else { "  " };
            let _ = match column {
                1..4 => write!(row, "{gap}{cell:>width$}"),
                _ => write!(row, "{gap}{cell:<width$}"),
            };
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_pair_by_pair() {
        let samples = Samples { ours: vec![10.0, 40.0, 90.0], reference: vec![10.0, 10.0, 30.0] };
        let row = samples.row("a", "/s", Target::Times(4.0));
        assert_eq!((row.ours, row.reference, row.ratio), (Some(40.0), Some(10.0), Some(3.0)));
        assert!(row.is_missed());
        assert!(!Samples::default().row("a", "/s", Target::Times(4.0)).is_missed());
        assert!(samples.row("a", "s", Target::AtMostTimes(2.9)).is_missed());
        assert!(!samples.row("a", "s", Target::AtMostTimes(3.0)).is_missed());
        assert!(samples.row("a", "", Target::Exactly(41.0)).is_missed());
        assert!(!samples.row("a", "", Target::Exactly(40.0)).is_missed());
    }

    #[test]
    fn middles_and_ends_are_found() {
        assert_eq!(median(&[3.0, 1.0]), Some(2.0));
        assert_eq!(median(&[]), None);
        let hundred: Vec<_> = (1..=100).map(f64::from).collect();
        assert_eq!((p99(&hundred), p99(&[7.0]), p99(&[])), (Some(99.0), Some(7.0), None));
    }

    #[test]
    fn a_table_says_what_was_missed() {
        let samples = Samples { ours: vec![151.0], reference: vec![] };
        let rows = [
            samples.row("start", "ms", Target::AtMost(150.0)),
            samples.row("gets", "/s", Target::AtLeast(100.0)),
        ];
        assert_eq!(
            text(&rows),
            "         ours  reference  ratio  target     verdict\n\
             start  151 ms    not run         <= 150 ms  MISSED\n\
             gets    151/s    not run         >= 100/s   met\n"
        );
    }
}
