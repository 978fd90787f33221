//! Pure: columns that line up.

/// Returns rows with their columns aligned, two spaces apart; a cell of several lines makes its row as high.
pub(crate) fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let lines = cells.flat_map(|cell| cell.lines());
        lines.map(|line| line.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let height = row.iter().map(|cell| cell.lines().count()).max().unwrap_or_default().max(1);
        for line in 0..height {
            let cells = row.iter().map(|cell| cell.lines().nth(line).unwrap_or_default());
            let cells = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_of_several_lines_makes_its_row_as_high() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["A", "B", "C"]), row(["long", "1\n22", "x"]), row(["", "", "y"])];
        assert_eq!(aligned(&rows), "A     B   C\nlong  1   x\n      22\n          y\n");
    }
}
