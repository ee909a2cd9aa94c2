import os
import random

from flask import Flask, jsonify, render_template

server = Flask(__name__)


@server.route("/")
def index():
    return render_template("index.html")


@server.route("/data")
def data():
    return jsonify(value=random.randint(1, 100), cpus=os.cpu_count(), memory=open("/proc/meminfo").readline().split()[1])
