"""A plain network as one file that another program can read: safetensors, torch.export, ONNX."""
