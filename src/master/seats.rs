//! Which worker owns which slot of the scoreboard.

/// Slots by index, each with the age of its worker.
#[derive(Debug)]
pub struct Seats {
    ages: Vec<Option<u64>>,
}

impl Seats {
    pub fn new(slots: usize) -> Self {
        Self { ages: vec![None; slots] }
    }

    /// With the slots of these workers taken.
    pub fn with(slots: usize, taken: &[(usize, u64)]) -> Self {
        let mut seats = Self::new(slots);
        for (slot, age) in taken {
            if let Some(place) = seats.ages.get_mut(*slot) {
                *place = Some(*age);
            }
        }
        seats
    }

    /// Gives the worker a free slot; `None` when all are taken.
    pub fn take(&mut self, age: u64) -> Option<usize> {
        let slot = self.ages.iter().position(Option::is_none)?;
        self.ages[slot] = Some(age);
        Some(slot)
    }

    /// Frees the slot of a worker and says which it was.
    pub fn release(&mut self, age: u64) -> Option<usize> {
        let slot = self.ages.iter().position(|taken| *taken == Some(age))?;
        self.ages[slot] = None;
        Some(slot)
    }

    /// Slots that are taken, with the age of the worker.
    pub fn taken(&self) -> impl Iterator<Item = (usize, u64)> {
        self.ages.iter().enumerate().filter_map(|(slot, age)| Some((slot, (*age)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_given_once_and_come_back() {
        let mut seats = Seats::new(2);
        assert_eq!((seats.take(1), seats.take(2), seats.take(3)), (Some(0), Some(1), None));
        assert_eq!(seats.release(1), Some(0));
        assert_eq!(seats.release(1), None);
        assert_eq!(seats.take(3), Some(0));
        assert_eq!(seats.taken().collect::<Vec<_>>(), [(0, 3), (1, 2)]);
        let mut again = Seats::with(3, &seats.taken().collect::<Vec<_>>());
        assert_eq!((again.take(4), again.take(5)), (Some(2), None));
    }
}
