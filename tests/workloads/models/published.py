"""Configurations of published models, dimension facts only, with the parameters that each is published to have.

Facts are those of each model's `config.json`; counts are those of the model card, where it gives them by the
value, or of the index of its published weights (what `safetensors` headers add up to). `OWN` are computed here
by a formula of the test's own, for models whose published count is rounded.
"""

from __future__ import annotations

LLAMA = {"model_type": "llama", "hidden_act": "silu", "rms_norm_eps": 1e-5, "attention_bias": False}
QWEN3 = {
    "model_type": "qwen3",
    "attention_bias": False,
    "head_dim": 128,
    "hidden_act": "silu",
    "sliding_window": None,
    "use_sliding_window": False,
    "vocab_size": 151936,
    "max_window_layers": 28,
}
CONFIGS: dict[str, dict[str, object]] = {
    "llama-2-7b": {**LLAMA, "hidden_size": 4096, "intermediate_size": 11008, "num_attention_heads": 32,
        "num_hidden_layers": 32, "num_key_value_heads": 32, "vocab_size": 32000, "tie_word_embeddings": False,
        "pretraining_tp": 1, "rope_scaling": None},
    "llama-3-8b": {**LLAMA, "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32,
        "num_hidden_layers": 32, "num_key_value_heads": 8, "vocab_size": 128256, "rope_theta": 500000.0},
    "llama-3.2-1b": {**LLAMA, "hidden_size": 2048, "intermediate_size": 8192, "num_attention_heads": 32, "head_dim": 64,
        "num_hidden_layers": 16, "num_key_value_heads": 8, "vocab_size": 128256, "tie_word_embeddings": True,
        "mlp_bias": False, "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192, "rope_type": "llama3"}},
    "mistral-7b": {"model_type": "mistral", "hidden_size": 4096, "intermediate_size": 14336,
        "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "sliding_window": 4096,
        "vocab_size": 32000, "hidden_act": "silu"},
    "mixtral-8x7b": {"model_type": "mixtral", "hidden_size": 4096, "intermediate_size": 14336,
        "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "sliding_window": None,
        "vocab_size": 32000, "num_local_experts": 8, "num_experts_per_tok": 2, "hidden_act": "silu"},
    "qwen2-0.5b": {"model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864, "num_attention_heads": 14,
        "num_hidden_layers": 24, "num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": True,
        "use_sliding_window": False, "sliding_window": 32768, "max_window_layers": 24, "hidden_act": "silu"},
    "qwen2-7b": {"model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944, "num_attention_heads": 28,
        "num_hidden_layers": 28, "num_key_value_heads": 4, "vocab_size": 152064, "tie_word_embeddings": False,
        "use_sliding_window": False, "sliding_window": 131072, "max_window_layers": 28},
    "qwen1.5-moe-a2.7b": {"model_type": "qwen2_moe", "hidden_size": 2048, "intermediate_size": 5632,
        "moe_intermediate_size": 1408, "shared_expert_intermediate_size": 5632, "num_experts": 60,
        "num_experts_per_tok": 4, "num_attention_heads": 16, "num_key_value_heads": 16, "num_hidden_layers": 24,
        "vocab_size": 151936, "decoder_sparse_step": 1, "use_sliding_window": False, "max_window_layers": 21,
        "sliding_window": 32768, "norm_topk_prob": False},
    "qwen3-0.6b": {**QWEN3, "hidden_size": 1024, "intermediate_size": 3072, "num_attention_heads": 16,
        "num_hidden_layers": 28, "num_key_value_heads": 8, "tie_word_embeddings": True},
    "qwen3-8b": {**QWEN3, "hidden_size": 4096, "intermediate_size": 12288, "num_attention_heads": 32,
        "num_hidden_layers": 36, "num_key_value_heads": 8, "tie_word_embeddings": False},
    "qwen3-30b-a3b": {**QWEN3, "model_type": "qwen3_moe", "hidden_size": 2048, "intermediate_size": 6144,
        "moe_intermediate_size": 768, "num_experts": 128, "num_experts_per_tok": 8, "num_attention_heads": 32,
        "num_hidden_layers": 48, "num_key_value_heads": 4, "tie_word_embeddings": False, "decoder_sparse_step": 1,
        "mlp_only_layers": [], "norm_topk_prob": True},
    "gemma-2-2b": {"model_type": "gemma2", "hidden_size": 2304, "intermediate_size": 9216, "num_attention_heads": 8,
        "num_hidden_layers": 26, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 256000,
        "sliding_window": 4096, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0,
        "hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 256},
    "gemma-2-9b": {"model_type": "gemma2", "hidden_size": 3584, "intermediate_size": 14336, "num_attention_heads": 16,
        "num_hidden_layers": 42, "num_key_value_heads": 8, "head_dim": 256, "vocab_size": 256000,
        "sliding_window": 4096, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0},
    "gemma-3-1b": {"model_type": "gemma3_text", "hidden_size": 1152, "intermediate_size": 6912,
        "num_attention_heads": 4, "num_hidden_layers": 26, "num_key_value_heads": 1, "head_dim": 256,
        "vocab_size": 262144, "sliding_window": 512, "sliding_window_pattern": 6, "attn_logit_softcapping": None,
        "final_logit_softcapping": None, "hidden_activation": "gelu_pytorch_tanh"},
    "phi-3-mini": {"model_type": "phi3", "hidden_size": 3072, "intermediate_size": 8192, "num_attention_heads": 32,
        "num_hidden_layers": 32, "num_key_value_heads": 32, "vocab_size": 32064, "sliding_window": 2047,
        "attention_bias": False, "tie_word_embeddings": False},
    "phi-2": {"model_type": "phi", "hidden_size": 2560, "intermediate_size": 10240, "num_attention_heads": 32,
        "num_hidden_layers": 32, "num_key_value_heads": 32, "vocab_size": 51200, "partial_rotary_factor": 0.4,
        "qk_layernorm": False, "hidden_act": "gelu_new", "tie_word_embeddings": False},
    "gpt2": {"model_type": "gpt2", "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024, "n_ctx": 1024,
        "vocab_size": 50257, "activation_function": "gelu_new", "n_inner": None},
    "gpt2-xl": {"model_type": "gpt2", "n_embd": 1600, "n_head": 25, "n_layer": 48, "n_positions": 1024,
        "vocab_size": 50257},
    "pythia-6.9b": {"model_type": "gpt_neox", "hidden_size": 4096, "intermediate_size": 16384,
        "num_attention_heads": 32, "num_hidden_layers": 32, "rotary_pct": 0.25, "use_parallel_residual": True,
        "vocab_size": 50432, "tie_word_embeddings": False},
    "gpt-neox-20b": {"model_type": "gpt_neox", "hidden_size": 6144, "intermediate_size": 24576,
        "num_attention_heads": 64, "num_hidden_layers": 44, "rotary_pct": 0.25, "vocab_size": 50432,
        "hidden_act": "gelu_fast", "tie_word_embeddings": False},
    "opt-125m": {"model_type": "opt", "hidden_size": 768, "ffn_dim": 3072, "num_attention_heads": 12,
        "num_hidden_layers": 12, "max_position_embeddings": 2048, "vocab_size": 50272, "word_embed_proj_dim": 768,
        "do_layer_norm_before": True, "activation_function": "relu"},
    "falcon-7b": {"model_type": "falcon", "hidden_size": 4544, "num_attention_heads": 71, "num_hidden_layers": 32,
        "vocab_size": 65024, "multi_query": True, "parallel_attn": True, "new_decoder_architecture": False,
        "alibi": False, "bias": False},
    "falcon-40b": {"model_type": "falcon", "hidden_size": 8192, "num_attention_heads": 128, "num_hidden_layers": 60,
        "num_kv_heads": 8, "vocab_size": 65024, "multi_query": True, "parallel_attn": True, "alibi": False, "bias": False,
        "new_decoder_architecture": True},
    "bloom-560m": {"model_type": "bloom", "n_embed": 1024, "num_attention_heads": 16, "n_layer": 24,
        "vocab_size": 250880},
    "deepseek-v2-lite": {"model_type": "deepseek_v2", "hidden_size": 2048, "intermediate_size": 10944,
        "moe_intermediate_size": 1408, "num_attention_heads": 16, "num_key_value_heads": 16, "num_hidden_layers": 27,
        "kv_lora_rank": 512, "q_lora_rank": None, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
        "n_routed_experts": 64, "n_shared_experts": 2, "num_experts_per_tok": 6, "first_k_dense_replace": 1,
        "moe_layer_freq": 1, "scoring_func": "softmax", "vocab_size": 102400, "tie_word_embeddings": False,
        "attention_bias": False},
    "deepseek-v3": {"model_type": "deepseek_v3", "hidden_size": 7168, "intermediate_size": 18432,
        "moe_intermediate_size": 2048, "num_attention_heads": 128, "num_key_value_heads": 128, "num_hidden_layers": 61,
        "kv_lora_rank": 512, "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
        "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8, "first_k_dense_replace": 3,
        "moe_layer_freq": 1, "scoring_func": "sigmoid", "topk_method": "noaux_tc", "n_group": 8, "topk_group": 4,
        "num_nextn_predict_layers": 1, "vocab_size": 129280, "attention_bias": False,
        "quantization_config": {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
        "weight_block_size": [128, 128]}},
    "gpt-oss-20b": {"model_type": "gpt_oss", "hidden_size": 2880, "intermediate_size": 2880, "head_dim": 64,
        "num_attention_heads": 64, "num_key_value_heads": 8, "num_hidden_layers": 24, "num_local_experts": 32,
        "num_experts_per_tok": 4, "vocab_size": 201088, "attention_bias": True, "sliding_window": 128,
        "layer_types": ["sliding_attention", "full_attention"] * 12, "tie_word_embeddings": False,
        "quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}},
    "olmo-2-7b": {"model_type": "olmo2", "hidden_size": 4096, "intermediate_size": 11008, "num_attention_heads": 32,
        "num_key_value_heads": 32, "num_hidden_layers": 32, "vocab_size": 100352, "attention_bias": False,
        "tie_word_embeddings": False},
    "llama-4-scout": {"model_type": "llama4", "text_config": {"model_type": "llama4_text", "hidden_size": 5120,
        "intermediate_size": 8192, "intermediate_size_mlp": 16384, "num_attention_heads": 40, "num_key_value_heads": 8,
        "head_dim": 128, "num_hidden_layers": 48, "num_local_experts": 16, "num_experts_per_tok": 1, "vocab_size": 202048,
        "interleave_moe_layer_step": 1, "attention_chunk_size": 8192, "use_qk_norm": True, "no_rope_layers": [],
        "attention_bias": False}},
    "bert-base": {"model_type": "bert", "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12,
        "num_hidden_layers": 12, "vocab_size": 30522, "max_position_embeddings": 512, "type_vocab_size": 2,
        "hidden_act": "gelu"},
    "roberta-base": {"model_type": "roberta", "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12,
        "num_hidden_layers": 12, "vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1},
    "distilbert-base": {"model_type": "distilbert", "dim": 768, "hidden_dim": 3072, "n_heads": 12, "n_layers": 6,
        "vocab_size": 30522, "max_position_embeddings": 512, "activation": "gelu", "sinusoidal_pos_embds": False},
    "electra-small": {"model_type": "electra", "embedding_size": 128, "hidden_size": 256, "intermediate_size": 1024,
        "num_attention_heads": 4, "num_hidden_layers": 12, "vocab_size": 30522, "max_position_embeddings": 512,
        "type_vocab_size": 2},
    "vit-base-16": {"model_type": "vit", "architectures": ["ViTForImageClassification"], "hidden_size": 768,
        "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12, "image_size": 224,
        "patch_size": 16, "num_channels": 3, "qkv_bias": True, "id2label": {str(at): "" for at in range(1000)}},
    "deit-base-distilled": {"model_type": "deit", "architectures": ["DeiTForImageClassificationWithTeacher"],
        "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12,
        "image_size": 224, "patch_size": 16, "num_channels": 3, "qkv_bias": True,
        "id2label": {str(at): "" for at in range(1000)}},
    "clip-vit-b-32": {"model_type": "clip", "projection_dim": 512, "text_config": {}, "vision_config": {
        "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12,
        "image_size": 224, "patch_size": 32, "projection_dim": 512, "hidden_act": "quick_gelu"}},
    "clip-vit-l-14": {"model_type": "clip_vision_model", "architectures": ["CLIPVisionModel"], "hidden_size": 1024,
        "intermediate_size": 4096, "num_attention_heads": 16, "num_hidden_layers": 24, "image_size": 224,
        "patch_size": 14, "projection_dim": 768, "hidden_act": "quick_gelu"},
    "siglip-base-16": {"model_type": "siglip", "text_config": {}, "vision_config": {
        "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12,
        "image_size": 224, "patch_size": 16}},
    "whisper-tiny": {"model_type": "whisper", "d_model": 384, "encoder_layers": 4, "decoder_layers": 4,
        "encoder_attention_heads": 6, "decoder_attention_heads": 6, "encoder_ffn_dim": 1536, "decoder_ffn_dim": 1536,
        "vocab_size": 51865, "num_mel_bins": 80, "max_source_positions": 1500, "max_target_positions": 448,
        "activation_function": "gelu", "is_encoder_decoder": True},
    "t5-small": {"model_type": "t5", "d_model": 512, "d_kv": 64, "d_ff": 2048, "num_heads": 8, "num_layers": 6,
        "vocab_size": 32128, "relative_attention_num_buckets": 32, "is_encoder_decoder": True},
    "flan-t5-small": {"model_type": "t5", "d_model": 512, "d_kv": 64, "d_ff": 1024, "num_heads": 6, "num_layers": 8,
        "num_decoder_layers": 8, "vocab_size": 32128, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False,
        "relative_attention_num_buckets": 32},
    "mamba-130m": {"model_type": "mamba", "hidden_size": 768, "num_hidden_layers": 24, "state_size": 16, "expand": 2,
        "conv_kernel": 4, "vocab_size": 50280, "time_step_rank": 48, "use_bias": False, "use_conv_bias": True},
    "mamba2-130m": {"model_type": "mamba2", "hidden_size": 768, "num_hidden_layers": 24, "state_size": 128,
        "num_heads": 24, "head_dim": 64, "expand": 2, "n_groups": 1, "conv_kernel": 4, "vocab_size": 50288,
        "tie_word_embeddings": True, "use_bias": False, "use_conv_bias": True},
    "falcon-mamba-7b": {"model_type": "falcon_mamba", "hidden_size": 4096, "intermediate_size": 8192,
        "num_hidden_layers": 64, "state_size": 16, "conv_kernel": 4, "time_step_rank": 256, "vocab_size": 65024,
        "use_bias": False, "use_conv_bias": True, "tie_word_embeddings": False},
    "jamba-v0.1": {"model_type": "jamba", "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32,
        "num_key_value_heads": 8, "num_hidden_layers": 32, "attn_layer_period": 8, "attn_layer_offset": 4,
        "expert_layer_period": 2, "expert_layer_offset": 1, "num_experts": 16, "num_experts_per_tok": 2,
        "mamba_d_state": 16, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_dt_rank": 256, "mamba_conv_bias": True,
        "mamba_proj_bias": False, "vocab_size": 65536, "tie_word_embeddings": False, "sliding_window": None},
    "lfm2-1.2b": {"model_type": "lfm2", "hidden_size": 2048, "block_dim": 2048, "block_ff_dim": 12288,
        "block_multiple_of": 256, "block_ffn_dim_multiplier": 1.0, "block_auto_adjust_ff_dim": True,
        "num_attention_heads": 32, "num_key_value_heads": 8, "num_hidden_layers": 16, "conv_L_cache": 3,
        "conv_bias": False, "vocab_size": 65536, "full_attn_idxs": [2, 5, 8, 10, 12, 14]},
}  # fmt: skip

PUBLISHED: dict[str, int] = {
    "llama-2-7b": 6_738_415_616, "llama-3-8b": 8_030_261_248, "llama-3.2-1b": 1_235_814_400,
    "mistral-7b": 7_241_732_096, "mixtral-8x7b": 46_702_792_704, "qwen2-0.5b": 494_032_768,
    "qwen2-7b": 7_615_616_512, "qwen1.5-moe-a2.7b": 14_315_784_192, "qwen3-0.6b": 596_049_920,
    "qwen3-8b": 8_190_735_360, "qwen3-30b-a3b": 30_532_122_624, "gemma-2-2b": 2_614_341_888,
    "gemma-2-9b": 9_241_705_984, "gemma-3-1b": 999_885_952, "phi-3-mini": 3_821_079_552,
    "phi-2": 2_779_683_840, "gpt2": 124_439_808, "gpt2-xl": 1_557_611_200, "pythia-6.9b": 6_857_302_016,
    "gpt-neox-20b": 20_554_567_680, "opt-125m": 125_239_296, "falcon-7b": 6_921_720_704,
    "bloom-560m": 559_214_592, "deepseek-v2-lite": 15_706_484_224, "deepseek-v3": 671_026_419_200,
    "gpt-oss-20b": 20_914_757_184, "olmo-2-7b": 7_298_617_344, "bert-base": 109_482_240,
    "roberta-base": 124_645_632, "distilbert-base": 66_362_880,     "vit-base-16": 86_567_656, "deit-base-distilled": 87_338_192, "clip-vit-b-32": 87_849_216,
    "siglip-base-16": 92_884_224, "whisper-tiny": 37_760_640, "t5-small": 60_506_624,
    "flan-t5-small": 76_961_152, "mamba-130m": 129_135_360, "mamba2-130m": 128_989_632, "clip-vit-l-14": 303_179_776, "falcon-mamba-7b": 7_272_665_088,
    "jamba-v0.1": 51_570_323_328, "lfm2-1.2b": 1_170_340_608,
}  # fmt: skip


def _falcon_40b() -> int:
    """Two norms, 128 query heads of 64 on 8 key heads, four times as wide within; the head is the table."""
    layer = 2 * 8192**2 + 2 * 8192 * 8 * 64 + 2 * 4 * 8192**2 + 2 * 2 * 8192
    return 60 * layer + 2 * 8192 + 65024 * 8192


def _scout() -> int:
    """The text model alone: the card's 109B are with what sees images."""
    attention = 5120 * 128 * (40 + 2 * 8) + 40 * 128 * 5120
    experts = 17 * 3 * 5120 * 8192 + 16 * 5120
    return 48 * (attention + experts + 2 * 5120) + 5120 + 2 * 202048 * 5120


def _electra_small() -> int:
    """The encoder, without what tells replaced tokens: the paper (arXiv 2003.10555) has 14M with it."""
    table = (30522 + 512 + 2 + 2) * 128 + (128 + 1) * 256
    layer = 4 * 257 * 256 + 257 * 1024 + 1025 * 256 + 4 * 256
    return table + 12 * layer


OWN = {"falcon-40b": _falcon_40b, "llama-4-scout": _scout, "electra-small": _electra_small}
