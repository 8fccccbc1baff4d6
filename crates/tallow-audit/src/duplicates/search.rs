//! Search for 64-bit hashes that differ in few bits, without comparing all pairs.
//!
//! Hashes that differ in at most d bits are equal in at least one of d + 1 bands of their bits. Only hashes that share
//! a band are compared (multi-index hashing; Norouzi, Punjani, Fleet 2012).

use std::collections::BTreeMap;

/// The number of equal hashes that each one is paired with: pairing all would be slow with thousands of blank images.
const WINDOW: usize = 32;

/// The pairs of positions, the lower one first, whose hashes differ in at most `distance` bits (up to 63); each pair
/// once, in ascending order. Each position is paired with the next 32 positions of equal hash. Of two near groups of
/// equal hashes, the first 32 positions of each are paired. These pairs suffice to join all near positions into one
/// group.
pub fn near_pairs(hashes: &[u64], distance: u32) -> Vec<(usize, usize)> {
    let mut positions: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (position, hash) in hashes.iter().enumerate() {
        positions.entry(*hash).or_default().push(position);
    }
    let (unique, groups): (Vec<u64>, Vec<Vec<usize>>) = positions.into_iter().unzip();
    let mut pairs = Vec::new();
    for group in &groups {
        for (i, &a) in group.iter().enumerate() {
            pairs.extend(group[i + 1..].iter().take(WINDOW).map(|&b| (a, b)));
        }
    }
    for (a, b) in distinct_pairs(&unique, distance) {
        for &i in groups[a].iter().take(WINDOW) {
            pairs.extend(groups[b].iter().take(WINDOW).map(|&j| (i.min(j), i.max(j))));
        }
    }
    pairs.sort_unstable();
    pairs
}

/// The pairs of indices of distinct hashes that differ in at most `distance` bits.
fn distinct_pairs(hashes: &[u64], distance: u32) -> Vec<(usize, usize)> {
    let bands: Vec<u64> = bands(distance.min(63) + 1);
    let mut pairs = Vec::new();
    let mut order: Vec<usize> = (0..hashes.len()).collect();
    for (band, mask) in bands.iter().enumerate() {
        order.sort_unstable_by_key(|&i| (hashes[i] & mask, i));
        for bucket in order.chunk_by(|&i, &j| hashes[i] & mask == hashes[j] & mask) {
            for (place, &i) in bucket.iter().enumerate() {
                for &j in &bucket[place + 1..] {
                    let differing = hashes[i] ^ hashes[j];
                    // A pair that shares an earlier band was found there.
                    let first = || bands[..band].iter().all(|mask| differing & mask != 0);
                    if differing.count_ones() <= distance && first() {
                        pairs.push((i, j));
                    }
                }
            }
        }
    }
    pairs
}

/// The masks of `count` bands of nearly equal width that partition 64 bits.
fn bands(count: u32) -> Vec<u64> {
    let edge = |band: u32| 64 * band / count;
    (0..count)
        .map(|band| {
            let width = edge(band + 1) - edge(band);
            (u64::MAX >> (64 - width)) << edge(band)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rand::Rng as _;
    use tallow_base::rng;

    use super::*;

    #[test]
    fn the_search_finds_the_same_pairs_as_brute_force() {
        let mut rng = rng::keyed(1, 0, 0, rng::SHUFFLE);
        // The hashes vary in few bits, so that many are near each other.
        let hashes: Vec<u64> = (0..400).map(|_| rng.random::<u64>() & 0x0101_8001_0042_0901 | 0xff << 40).collect();
        for distance in [0, 1, 3, 7] {
            let mut expected: Vec<(usize, usize)> = (0..400)
                .flat_map(|i| (i + 1..400).map(move |j| (i, j)))
                .filter(|&(i, j)| (hashes[i] ^ hashes[j]).count_ones() <= distance)
                .collect();
            expected.sort_unstable();
            assert_eq!(near_pairs(&hashes, distance), expected, "{distance}");
        }
    }

    #[test]
    fn bands_cover_every_bit_once() {
        for count in 1..=64 {
            let bands = bands(count);
            assert_eq!(bands.iter().map(|band| u64::from(band.count_ones())).sum::<u64>(), 64);
            assert_eq!(bands.iter().fold(0, |all, band| all | band), u64::MAX);
        }
    }

    #[test]
    fn many_equal_hashes_give_few_pairs() {
        let pairs = near_pairs(&[7; 5000], 4);
        assert!(pairs.len() < 5000 * WINDOW + 1);
        assert!((0..4999).all(|i| pairs.binary_search(&(i, i + 1)).is_ok()));
    }
}
