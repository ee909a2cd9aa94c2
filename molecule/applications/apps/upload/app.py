import os

from flask import Flask, flash, redirect, render_template_string, request, send_from_directory, url_for
from werkzeug.utils import secure_filename

UPLOAD_FOLDER = "uploads"
ALLOWED_EXTENSIONS = {"txt", "pdf", "png", "jpg"}

app = Flask(__name__)
app.config["UPLOAD_FOLDER"] = UPLOAD_FOLDER
app.secret_key = "super secret key"
os.makedirs(UPLOAD_FOLDER, exist_ok=True)

PAGE = """<!doctype html>
<title>Upload new File</title>
<h1>Upload new File</h1>
{% for message in get_flashed_messages() %}<p>{{ message }}</p>{% endfor %}
<form method=post enctype=multipart/form-data>
  <input type=file name=file>
  <input type=submit value=Upload>
</form>"""


def allowed_file(filename):
    return "." in filename and filename.rsplit(".", 1)[1].lower() in ALLOWED_EXTENSIONS


@app.route("/", methods=["GET", "POST"])
def upload_file():
    if request.method == "POST":
        file = request.files.get("file")
        if file is None or not allowed_file(file.filename):
            flash("No allowed file")
            return redirect(request.url)
        filename = secure_filename(file.filename)
        file.save(os.path.join(app.config["UPLOAD_FOLDER"], filename))
        return redirect(url_for("download_file", name=filename))
    return render_template_string(PAGE)


@app.route("/uploads/<name>")
def download_file(name):
    return send_from_directory(os.path.abspath(app.config["UPLOAD_FOLDER"]), name)
