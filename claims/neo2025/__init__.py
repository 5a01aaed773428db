"""Neo et al., "Towards Interpreting Visual Information Processing in Vision-Language Models"."""
