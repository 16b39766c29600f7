"""Which weight file holds what: networks and codes from files, and back. `model.common.weight_files` reads and writes.
Loading is strict; an `InputError` says what is wrong with a file."""

from model.checkpoints.codes import load_codes, load_directions, load_exemplars, load_state, save_exemplars
from model.checkpoints.encoders import E4E, load_arcface, load_e4e, load_style_encoder, read_encoder_kind, save_encoder
from model.checkpoints.features import (
    load_cartoon_vgg19,
    load_likeness,
    load_optical_flow,
    load_parser,
    load_perceptual,
    load_vgg19,
)
from model.checkpoints.keys import CONFIG_KEY, DISCRIMINATOR_KEY, EMA_KEY, VTOONIFY
from model.checkpoints.stylegan import load_discriminator, load_dualstylegan, load_generator, save_weights
from model.checkpoints.translators import (
    ADAIN,
    MOBILE,
    TRANSLATOR,
    UGATIT,
    UGATIT_NETWORKS,
    WHITEBOX,
    fill_adain_encoder,
    fill_pixel_network,
    fill_ugatit,
    kind_of_network,
    load_adain,
    load_face_finder,
    load_mobile,
    load_own_adain,
    load_translator,
    load_ugatit,
    load_ugatit_networks,
    load_whitebox,
    read_ugatit_config,
    save_own_adain,
    save_pixel_network,
    save_ugatit,
    save_whitebox,
)
from model.checkpoints.vtoonify import (
    fill_vtoonify,
    load_encoder_pretrain,
    load_vtoonify,
    read_vtoonify_config,
    save_vtoonify,
)
