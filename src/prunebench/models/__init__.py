"""Models: what a model is, how it is stored and loaded, and what it costs. Builders are in `zoo`, one file each.

Doors:
    architecture   the registry of models; a model as data
    input_spec     what a model reads, as data
    outputs        which tensor of what a model returns are its scores
    masks          which weights are left
    kept           which units are left
    filling        values of a less pruned model, where those of a pruned one stood
    sharing        parameters with several names
    taken_over     masks and weights that hooks of PyTorch have left
    checkpoint     modules and masks as safetensors and JSON, without pickle
    tensor_files   safetensors
    weight_files   what others have saved
    fitting        what others have saved, made to fit a model
    hub            weights as transformers loads them
    configs        transformers' configurations, as data
    folders        a model as Hugging Face keeps it, but for its weights
    quiet          transformers says nothing but errors
    normalisation  what images are normalised with, as others write it down
    exported       whether a file is one of our exports
    loading        a pruned model alone, from a run or an exported file
    export         a model for use elsewhere
    costs          parameters, multiply-accumulates, bytes
    macs           multiply-accumulates, by the weights that they multiply
    memory         the most that PyTorch holds while something runs
    layers         how large each layer is
    known_layers   the attributes that follow a layer's parameters
    passing        blocks that were removed, and hand on what they are given
    reshaping      modules that get other sizes than their code asks for
    sizes          how a full model becomes a pruned one, as data
    collapse       layers that no longer tell samples apart
    wide           float64, and what is done on devices that have none
    undisturbed    the caller's threads, generators and switches of PyTorch stay as they were
"""
