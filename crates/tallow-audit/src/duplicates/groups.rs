//! Groups of samples from pairs, by union-find.

/// Disjoint sets of samples.
pub(crate) struct Groups(Vec<usize>);

impl Groups {
    /// Creates a group for each sample.
    pub fn new(samples: usize) -> Self {
        Self((0..samples).collect())
    }

    /// Joins the groups of two samples; the lowest sample represents its group.
    pub fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        self.0[a.max(b)] = a.min(b);
    }

    fn find(&mut self, mut sample: usize) -> usize {
        while self.0[sample] != sample {
            self.0[sample] = self.0[self.0[sample]];
            sample = self.0[sample];
        }
        sample
    }

    /// The groups with two samples or more, in ascending order.
    pub fn into_groups(mut self) -> Vec<Vec<usize>> {
        let mut members = vec![Vec::new(); self.0.len()];
        for sample in 0..self.0.len() {
            let first = self.find(sample);
            members[first].push(sample);
        }
        members.retain(|group| group.len() > 1);
        members
    }
}
