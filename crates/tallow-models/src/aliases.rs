//! Names that other libraries, and earlier versions of timm, give architectures of the registry.

/// Another name of an architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alias {
    /// The other name.
    pub name: &'static str,
    /// The preset's name.
    pub preset: &'static str,
    /// The tag of timm's weights that the name stands for; `None` for a name of the architecture alone.
    pub tag: Option<&'static str>,
}

const fn weights(name: &'static str, preset: &'static str, tag: &'static str) -> Alias {
    Alias { name, preset, tag: Some(tag) }
}

const fn architecture(name: &'static str, preset: &'static str) -> Alias {
    Alias { name, preset, tag: None }
}

/// timm's deprecated names (`timm.models._registry._deprecated_models`), then torchvision's where its network is timm's.
pub static ALIASES: &[Alias] = &[
    weights("convnext_tiny_in22ft1k", "convnext_tiny", "fb_in22k_ft_in1k"),
    weights("convnext_small_in22ft1k", "convnext_small", "fb_in22k_ft_in1k"),
    weights("convnext_base_in22ft1k", "convnext_base", "fb_in22k_ft_in1k"),
    weights("convnext_tiny_384_in22ft1k", "convnext_tiny", "fb_in22k_ft_in1k_384"),
    weights("convnext_small_384_in22ft1k", "convnext_small", "fb_in22k_ft_in1k_384"),
    weights("convnext_base_384_in22ft1k", "convnext_base", "fb_in22k_ft_in1k_384"),
    weights("convnext_tiny_in22k", "convnext_tiny", "fb_in22k"),
    weights("convnext_small_in22k", "convnext_small", "fb_in22k"),
    weights("convnext_base_in22k", "convnext_base", "fb_in22k"),
    weights("vit_tiny_patch16_224_in21k", "vit_tiny_patch16_224", "augreg_in21k"),
    weights("vit_small_patch32_224_in21k", "vit_small_patch32_224", "augreg_in21k"),
    weights("vit_small_patch16_224_in21k", "vit_small_patch16_224", "augreg_in21k"),
    weights("vit_base_patch16_224_in21k", "vit_base_patch16_224", "augreg_in21k"),
    weights("vit_base_patch16_224_sam", "vit_base_patch16_224", "sam"),
    weights("vit_small_patch16_224_dino", "vit_small_patch16_224", "dino"),
    weights("vit_base_patch16_224_dino", "vit_base_patch16_224", "dino"),
    weights("deit3_small_patch16_224_in21ft1k", "deit3_small_patch16_224", "fb_in22k_ft_in1k"),
    weights("deit3_base_patch16_224_in21ft1k", "deit3_base_patch16_224", "fb_in22k_ft_in1k"),
    weights("tv_densenet121", "densenet121", "tv_in1k"),
    weights("tf_efficientnetv2_s_in21ft1k", "tf_efficientnetv2_s", "in21k_ft_in1k"),
    weights("tf_efficientnetv2_s_in21k", "tf_efficientnetv2_s", "in21k"),
    architecture("efficientnet_b2a", "efficientnet_b2"),
    architecture("efficientnet_b3a", "efficientnet_b3"),
    weights("mobilenetv3_large_100_miil", "mobilenetv3_large_100", "miil_in21k_ft_in1k"),
    weights("mobilenetv3_large_100_miil_in21k", "mobilenetv3_large_100", "miil_in21k"),
    weights("tv_resnet34", "resnet34", "tv_in1k"),
    weights("tv_resnet50", "resnet50", "tv_in1k"),
    weights("tv_resnet101", "resnet101", "tv_in1k"),
    weights("tv_resnet152", "resnet152", "tv_in1k"),
    weights("tv_resnext50_32x4d", "resnext50_32x4d", "tv_in1k"),
    weights("ssl_resnet18", "resnet18", "fb_ssl_yfcc100m_ft_in1k"),
    weights("ssl_resnet50", "resnet50", "fb_ssl_yfcc100m_ft_in1k"),
    weights("ssl_resnext50_32x4d", "resnext50_32x4d", "fb_ssl_yfcc100m_ft_in1k"),
    weights("swsl_resnet18", "resnet18", "fb_swsl_ig1b_ft_in1k"),
    weights("swsl_resnet50", "resnet50", "fb_swsl_ig1b_ft_in1k"),
    weights("swsl_resnext50_32x4d", "resnext50_32x4d", "fb_swsl_ig1b_ft_in1k"),
    weights("gluon_resnet18_v1b", "resnet18", "gluon_in1k"),
    weights("gluon_resnet34_v1b", "resnet34", "gluon_in1k"),
    weights("gluon_resnet50_v1b", "resnet50", "gluon_in1k"),
    weights("gluon_resnet101_v1b", "resnet101", "gluon_in1k"),
    weights("gluon_resnet152_v1b", "resnet152", "gluon_in1k"),
    weights("gluon_resnet50_v1d", "resnet50d", "gluon_in1k"),
    weights("gluon_resnet101_v1d", "resnet101d", "gluon_in1k"),
    weights("gluon_resnet152_v1d", "resnet152d", "gluon_in1k"),
    weights("gluon_resnext50_32x4d", "resnext50_32x4d", "gluon_in1k"),
    weights("tf_inception_v3", "inception_v3", "tf_in1k"),
    weights("adv_inception_v3", "inception_v3", "tf_adv_in1k"),
    weights("gluon_inception_v3", "inception_v3", "gluon_in1k"),
    weights("mixer_b16_224_in21k", "mixer_b16_224", "goog_in21k_ft_in1k"),
    weights("mixer_b16_224_miil", "mixer_b16_224", "miil_in21k_ft_in1k"),
    weights("mixer_b16_224_miil_in21k", "mixer_b16_224", "miil_in21k"),
    weights("swin_base_patch4_window7_224_in22k", "swin_base_patch4_window7_224", "ms_in22k"),
    weights("vit_tiny_r_s16_p8_224_in21k", "vit_tiny_r_s16_p8_224", "augreg_in21k"),
    weights("vit_small_r26_s32_224_in21k", "vit_small_r26_s32_224", "augreg_in21k"),
    architecture("mobilenet_v2", "mobilenetv2_100"),
    architecture("mobilenet_v3_large", "mobilenetv3_large_100"),
    architecture("mobilenet_v3_small", "mobilenetv3_small_100"),
    architecture("regnet_x_800mf", "regnetx_008"),
    architecture("regnet_x_1_6gf", "regnetx_016"),
    architecture("regnet_x_3_2gf", "regnetx_032"),
    architecture("regnet_y_1_6gf", "regnety_016"),
    architecture("regnet_y_3_2gf", "regnety_032"),
    architecture("swin_t", "swin_tiny_patch4_window7_224"),
    architecture("swin_s", "swin_small_patch4_window7_224"),
    architecture("swin_b", "swin_base_patch4_window7_224"),
    architecture("vit_b_16", "vit_base_patch16_224"),
];

/// The alias `name`, if it is one.
pub fn alias(name: &str) -> Option<&'static Alias> {
    ALIASES.iter().find(|alias| alias.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_name_presets_and_hide_none() {
        let mut names: Vec<&str> = crate::list().iter().map(|preset| preset.name).collect();
        for alias in ALIASES {
            assert_eq!(crate::find(alias.name).expect(alias.name).name, alias.preset);
            names.push(alias.name);
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "a name is given twice");
    }
}
