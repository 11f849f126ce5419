"""The benchmark: the gateway beside vLLM driven directly, vLLM's own server and LiteLLM, on one machine in one run.

python -m tests.bench --help

__main__.py   one run: start-up, rounds, report, plot
arguments.py  what can be asked for
load.py       what all sides are given and what all give back
sides.py      the sides: the bare engine, vLLM's server, the gateway, LiteLLM
bare.py       process: vLLM's AsyncLLM and nothing around it
litellm.py    LiteLLM's proxy: its installation and its process
caller.py     the subscription that calls the gateway
client.py     process: many HTTP callers at a time in one thread
exchange.py   what those callers send, and how their answers are read
child.py      how this process talks to those two
rounds.py     the order of things, and what is taken down
startup.py    from a process's start to its first token
frontend.py   the gateway's own cost: its front end over an engine without a model
paced.py      that engine; paced_conf.py and paced_app.py put it into the real gunicorn and app
figures.py    medians, spreads, ratios, and what they allow to be said
targets.py    what is expected, and whether a run shows it
machine.py    which machine this is, what each process costs, and what others take
report.py     the Markdown; frontend_report.py has the part of the front end, table.py its tables
plot.py       the plot
"""
