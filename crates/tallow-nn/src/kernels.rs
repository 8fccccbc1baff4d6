//! The former paths of [`op`](crate::op) and [`memory`](crate::memory), until every crate uses the new ones.

pub use crate::memory;

pub mod activation {
    //! Former path.
    pub use crate::op::{Activation, activate};
}
pub mod attention {
    //! Former path.
    pub use crate::op::{attention, attention_qkv};
}
pub mod conv2d {
    //! Former path.
    pub use crate::op::{ConvConfig, conv2d, conv2d_folded};
}
pub mod dropout {
    //! Former path.
    pub use crate::op::{drop_path, dropout};
}
pub mod elementwise {
    //! Former path.
    pub use crate::op::{add_activate, add_gradients};
}
pub mod linear {
    //! Former path.
    pub use crate::op::{linear, matmul_no_grad as matmul};
}
pub mod norm {
    //! Former path.
    pub use crate::op::{BatchStats, batch_norm_eval, batch_norm_train, layer_norm};
}
pub mod pool {
    //! Former path.
    pub use crate::op::{PoolConfig, avg_pool2d, global_avg_pool, global_max_pool, max_pool2d};
}
pub mod quantize {
    //! Former path.
    pub use crate::op::{fake_quantize, range};
}
pub mod scale {
    //! Former path.
    pub use crate::op::{scale_channels, scale_last};
}
pub mod softmax {
    //! Former path.
    pub use crate::op::{cross_entropy, softmax};
}
pub mod tokens {
    //! Former path.
    pub use crate::op::{add_positions, concat_tokens, image, select_token, tokens};
}
