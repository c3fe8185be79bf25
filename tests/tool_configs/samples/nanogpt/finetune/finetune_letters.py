import time

out_dir = "out-letters"
eval_interval = 5
wandb_run_name = "ft-" + str(time.time())
dataset = "letters"
init_from = "gpt2-xl"
batch_size = 1
gradient_accumulation_steps = 32
max_iters = 20
learning_rate = 3e-5
decay_lr = False
dtype = "float16"
