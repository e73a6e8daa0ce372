"""The training engine, mmengine's Runner: trainer, distributed processes, batch norm, memory."""
