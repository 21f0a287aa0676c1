import torch
from transformers import BertConfig, BertForSequenceClassification

from prunebench.models.input_spec import InputSpec
from prunebench.models.zoo.bert import bert

TINY = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}


def test_it_is_bert_mini_unless_the_configuration_says_otherwise():
    with torch.device("meta"):
        config = bert(3, {"vocab_size": 100}).config
    sizes = (config.num_hidden_layers, config.hidden_size, config.num_attention_heads, config.intermediate_size)
    assert sizes == (4, 256, 4, 1024)
    assert (config.num_labels, config.vocab_size) == (3, 100)


def test_its_state_is_transformers_own():
    with torch.device("meta"):
        ours, theirs = bert(2, TINY), BertForSequenceClassification(BertConfig(**TINY, num_labels=2))
    first, second = ({name: tuple(t.shape) for name, t in model.state_dict().items()} for model in (ours, theirs))
    assert first == second


def test_padding_does_not_change_the_output():
    torch.manual_seed(0)
    model = bert(2, TINY).eval()
    short = InputSpec(kind="text", vocabulary=50, length=6).example(3)
    padded = {name: torch.nn.functional.pad(tensor, (0, 4)) for name, tensor in short.items()}
    with torch.no_grad():
        torch.testing.assert_close(model(**padded).logits, model(**short).logits)
