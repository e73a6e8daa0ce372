"""The training engine on mmengine's Runner: trainer, distributed processes, batch norm, memory."""
