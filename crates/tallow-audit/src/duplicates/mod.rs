//! Equal and nearly equal images: duplicates within a split, leakage across splits.

pub mod search;

mod groups;

use std::collections::{BTreeMap, HashMap};

use groups::Groups;

use crate::measures::hash::{PerceptualHashes, similarity};
use crate::{AuditConfig, Issue, IssueKind, Samples, Scanned};

/// The number of bits in which one hash of near duplicates may differ if the other hash is near.
const OTHER_BITS: u32 = 10;
/// The number of other samples of a group that an issue names.
const NAMED: usize = 3;

/// Finds equal and nearly equal images. Each sample of a group is an issue that names the others, the nearest first.
///
/// Two images are near duplicates if their pHash or dHash differs in at most [`AuditConfig::hash_bits`] of 64 bits, and
/// their tiny copies correlate by at least [`AuditConfig::similarity`]. The score of an exact duplicate is 0; that of a
/// near duplicate is the fraction of differing bits to the nearest sample. Duplicates in different splits are leakage.
pub fn find(samples: &Samples, scanned: &[Scanned], config: &AuditConfig) -> Vec<Issue> {
    let mut exact = Groups::new(scanned.len());
    let mut first = HashMap::new();
    for (sample, measures) in readable(scanned) {
        exact.join(*first.entry(measures.pixel_hash).or_insert(sample), sample);
    }
    // Only the first of equal images is compared with others.
    let distinct: Vec<(usize, &PerceptualHashes)> = readable(scanned)
        .filter(|(sample, measures)| first[&measures.pixel_hash] == *sample)
        .map(|(sample, measures)| (sample, &measures.perceptual))
        .collect();
    let near_pairs = near_pairs(&distinct, config);

    let mut issues = Vec::new();
    let exact_groups = exact.into_groups();
    for group in &exact_groups {
        for &sample in group {
            issues.extend(issues_of(samples, IssueKind::ExactDuplicate, sample, group, 0.0));
        }
    }
    let mut partners: BTreeMap<usize, Vec<(f64, usize)>> = BTreeMap::new();
    for &(a, b, score) in &near_pairs {
        partners.entry(a).or_default().push((score, b));
        partners.entry(b).or_default().push((score, a));
    }
    let copies: HashMap<usize, &Vec<usize>> = exact_groups.iter().map(|group| (group[0], group)).collect();
    let with_copies = |sample: usize| copies.get(&sample).map_or(vec![sample], |copies| copies.to_vec());
    for (sample, mut near) in partners {
        near.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let score = near[0].0;
        // A near duplicate of one image is a near duplicate of all its exact copies.
        let others: Vec<usize> = near.iter().flat_map(|(_, other)| with_copies(*other)).collect();
        for sample in with_copies(sample) {
            issues.extend(issues_of(samples, IssueKind::NearDuplicate, sample, &others, score));
        }
    }
    merge_leaks(&mut issues);
    crate::sort(&mut issues);
    issues
}

fn readable(scanned: &[Scanned]) -> impl Iterator<Item = (usize, &crate::Measures)> {
    scanned.iter().enumerate().filter_map(|(sample, scanned)| Some((sample, scanned.measures()?)))
}

/// The pairs of near duplicates with the fraction of bits that differ.
fn near_pairs(distinct: &[(usize, &PerceptualHashes)], config: &AuditConfig) -> Vec<(usize, usize, f64)> {
    let hashes = |hash: fn(&PerceptualHashes) -> u64| distinct.iter().map(|(_, p)| hash(p)).collect::<Vec<u64>>();
    let mut pairs = search::near_pairs(&hashes(|p| p.phash), config.hash_bits);
    pairs.extend(search::near_pairs(&hashes(|p| p.dhash), config.hash_bits));
    pairs.sort_unstable();
    pairs.dedup();
    let alike = |(i, j): (usize, usize)| {
        let ((a, first), (b, second)) = (distinct[i], distinct[j]);
        let bits = |hash: fn(&PerceptualHashes) -> u64| (hash(first) ^ hash(second)).count_ones();
        let score = f64::from(bits(|p| p.phash) + bits(|p| p.dhash)) / 128.0;
        // The other hash may differ more, but not as much as for an unrelated image.
        let both = bits(|p| p.phash).max(bits(|p| p.dhash)) <= OTHER_BITS.max(config.hash_bits);
        (both && similarity(first, second) >= config.similarity).then_some((a, b, score))
    };
    pairs.into_iter().filter_map(alike).collect()
}

/// The issues of a sample in a group: a duplicate within its split, leakage from another, or both.
fn issues_of(samples: &Samples, kind: IssueKind, sample: usize, group: &[usize], score: f64) -> Vec<Issue> {
    let split = samples.split(sample);
    let others = |same: bool| -> Vec<usize> {
        let belongs = |other: &usize| *other != sample && (samples.split(*other) == split) == same;
        group.iter().copied().filter(belongs).collect()
    };
    let mut issues = Vec::new();
    for (kind, others) in [(kind, others(true)), (IssueKind::Leakage, others(false))] {
        if !others.is_empty() {
            let detail = describe(samples, sample, &others, kind == IssueKind::Leakage);
            issues.push(Issue { others, ..Issue::new(kind, sample, score, detail) });
        }
    }
    issues
}

/// Names the other samples of a group, with their labels where these differ.
fn describe(samples: &Samples, sample: usize, others: &[usize], with_split: bool) -> String {
    let named = others.iter().take(NAMED).map(|&other| {
        let mut text = samples.id(other);
        if with_split && !text.starts_with(samples.split(other).name()) {
            text = format!("{text} ({})", samples.split(other).name());
        }
        if samples.label(other) != samples.label(sample) {
            text = format!("{text} labelled {}", samples.class(other));
        }
        text
    });
    let mut text = format!("like {}", named.collect::<Vec<_>>().join(", "));
    if others.len() > NAMED {
        text = format!("{text} and {} more", others.len() - NAMED);
    }
    text
}

/// Merges the leakage issues of a sample with exact and near duplicates in another split; the first, worse score
/// counts.
fn merge_leaks(issues: &mut Vec<Issue>) {
    let mut seen: HashMap<(IssueKind, Option<usize>), usize> = HashMap::new();
    let mut merged: Vec<Issue> = Vec::with_capacity(issues.len());
    for issue in issues.drain(..) {
        match seen.get(&(issue.kind, issue.sample)) {
            Some(&place) if issue.kind == IssueKind::Leakage => {
                let first = &mut merged[place];
                let new: Vec<usize> = issue.others.into_iter().filter(|o| !first.others.contains(o)).collect();
                first.others.extend(new);
            }
            _ => {
                seen.insert((issue.kind, issue.sample), merged.len());
                merged.push(issue);
            }
        }
    }
    *issues = merged;
}
