//! Policies draw changes and their strengths: AutoAugment, RandAugment, TrivialAugmentWide, AugMix
//! and DeiT III's 3-Augment.
//!
//! A draw is a [`Change`] with its argument. torchvision's policies take arguments from the tables of
//! [`Space`]; timm's RandAugment strings compute them from a level by [`Leveled`].

mod aug_mix;
mod auto_augment;
mod change;
mod rand_augment;
mod space;
mod three_augment;
mod timm;
mod trivial_augment_wide;

pub use aug_mix::AugMix;
pub use auto_augment::{AutoAugment, PolicyName, SubPolicy};
pub use change::Change;
pub use rand_augment::RandAugment;
pub use space::{Space, SpaceOp};
pub use three_augment::ThreeAugment;
pub use timm::{Leveled, TimmRandAugment};
pub use trivial_augment_wide::TrivialAugmentWide;
