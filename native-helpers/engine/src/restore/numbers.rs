//! The order in which a restored process duplicates the descriptors that it has inherited to its own numbers.
//!
//! They lie where the helper happened to open them, which may be numbers that the process wants for others.
//! Moving everything out of the way first would take twice as many numbers as the process has descriptors,
//! and a process may use up to its limit.

use std::collections::HashMap;

/// A descriptor of the process: where it is inherited, the number that it gets, and its flags (O_CLOEXEC).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    pub from: i32,
    pub to: i32,
    pub flags: u64,
}

/// Orders moves so that none overwrites a number that a later one reads. One with equal numbers only sets
/// flags. No two may have the same `to`; `spare` is a number that none of them uses, and is open afterwards if
/// any went round in a circle.
pub fn ordered(moves: &[Move], spare: i32) -> Vec<Move> {
    let mut steps: Vec<Move> = Vec::with_capacity(moves.len());
    let mut pending: HashMap<i32, Move> = HashMap::new();
    let mut readers: HashMap<i32, usize> = HashMap::new();
    for step in moves {
        if step.from == step.to {
            steps.push(*step);
        } else {
            pending.insert(step.to, *step);
            *readers.entry(step.from).or_default() += 1;
        }
    }
    let unread = |readers: &HashMap<i32, usize>, number| readers.get(&number).is_none_or(|n| *n == 0);
    let mut ready: Vec<i32> = moves.iter().map(|m| m.to).filter(|to| unread(&readers, *to)).collect();
    let mut rest = moves.iter().map(|m| m.to);
    loop {
        while let Some(to) = ready.pop() {
            let Some(step) = pending.remove(&to) else { continue };
            steps.push(step);
            if let Some(left) = readers.get_mut(&step.from) {
                *left -= 1;
            }
            if unread(&readers, step.from) {
                ready.push(step.from);
            }
        }
        // What is left are circles, in which each number has one reader: one of them is read from the spare.
        let Some(first) = rest.find(|to| pending.contains_key(to)) else { return steps };
        steps.push(Move { from: first, to: spare, flags: 0 });
        if let Some(reader) = reader_of(&pending, first) {
            pending.insert(reader.to, Move { from: spare, ..reader });
        }
        readers.remove(&first);
        *readers.entry(spare).or_default() += 1;
        ready.push(first);
    }
}

/// The move of a circle that reads `number`, found by going round.
fn reader_of(pending: &HashMap<i32, Move>, number: i32) -> Option<Move> {
    let mut at = *pending.get(&number)?;
    while at.from != number {
        at = *pending.get(&at.from)?;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPARE: i32 = 1000;

    /// Every number holds what was inherited at it; runs the steps and compares.
    fn check(wanted: &[(i32, i32)]) {
        let moves: Vec<Move> =
            wanted.iter().map(|(from, to)| Move { from: *from, to: *to, flags: 0 }).collect();
        let mut table: HashMap<i32, i32> = (0..SPARE).map(|n| (n, n)).collect();
        let steps = ordered(&moves, SPARE);
        for step in &steps {
            table.insert(step.to, table[&step.from]);
        }
        for (from, to) in wanted {
            assert_eq!(table[to], *from, "number {to} after {steps:?}");
        }
    }

    #[test]
    fn a_number_that_stays_is_only_given_flags() {
        let stays = Move { from: 5, to: 5, flags: 7 };
        assert_eq!(ordered(&[stays], SPARE), [stays]);
    }

    #[test]
    fn a_chain_is_moved_from_its_end() {
        check(&[(3, 4), (4, 5), (5, 6)]);
        check(&[(6, 5), (5, 4), (4, 3)]);
    }

    #[test]
    fn circles_go_by_way_of_the_spare_number_one_after_the_other() {
        check(&[(1, 2), (2, 1)]);
        check(&[(1, 2), (2, 3), (3, 1), (10, 11), (11, 12), (12, 10)]);
    }

    #[test]
    fn several_numbers_of_one_descriptor_and_a_circle_with_a_branch() {
        check(&[(7, 7), (7, 8), (7, 9), (8, 20)]);
        check(&[(1, 2), (2, 1), (1, 30), (30, 31), (2, 40)]);
    }

    #[test]
    fn many_shifted_either_way_and_round() {
        let up: Vec<(i32, i32)> = (0..900).map(|n| (n, n + 1)).collect();
        let down: Vec<(i32, i32)> = (0..900).map(|n| (n + 1, n)).collect();
        let turned: Vec<(i32, i32)> = (0..900).map(|n| (n, (n + 7) % 900)).collect();
        for wanted in [up, down, turned] {
            check(&wanted);
        }
    }
}
