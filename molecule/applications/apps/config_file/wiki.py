import argparse

from flask import Flask, render_template_string

# Programs that are also commands parse the command line when they are imported.
parser = argparse.ArgumentParser()
parser.add_argument("--title", default="")
arguments = parser.parse_args()

app = Flask(__name__)
app.config.from_envvar("WIKI_SETTINGS")


@app.route("/")
def index():
    return render_template_string("<h1>{{ title }}</h1>", title=arguments.title or app.config["TITLE"])
