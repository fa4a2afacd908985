"""The page of instructions: refusals of its command, and a real browser in which one is written and answered.

pip install gradio selenium   # and a chromium with its driver; without them the browser's test is skipped
SCREENSHOT=docs/instructions.png python -m pytest tests/doors/test_demo_instructions.py   # of the embedded model
"""

import os
import sys

import pytest
from helpers import called, served_page, with_adapter

from utils import demo
from utils.config import Config
from utils.data.templates import Template
from utils.engine.settings import Writing
from utils.models.adapters import save_adapter
from utils.record.instruction_predict import BASE, TUNED, InstructionPredict
from utils.system.files import read_json, write_json
from utils.tasks.instruction import Instructions


@pytest.fixture(scope="module")
def adapter(tiny_model_folder, tmp_path_factory):
    if "SCREENSHOT" in os.environ:  # where instructions were trained on the sample
        return "results_train/instructions/adapters/instruction"
    folder = tmp_path_factory.mktemp("run") / "adapters" / "instruction"
    save_adapter(with_adapter(tiny_model_folder, std=0.5), folder, tiny_model_folder)
    config = Config(model=tiny_model_folder, quantization="none", precision="float32", template="alpaca_short")
    decided = Instructions(Template.read("alpaca_short")).decided([], list)
    write_json({"task": "instruction", "parameters": config.as_dict(), **decided}, folder / "training.json")
    return folder


def test_what_the_command_cannot_do_is_one_message(tmp_path, monkeypatch, tiny_model_folder):
    monkeypatch.setattr(demo.importlib.util, "find_spec", lambda name: True)
    for arguments, says in (
        (["--run", "nosuch"], "no such run"),
        (["--adapter", tmp_path], "no finished adapter here"),
        (["--base-model", tiny_model_folder, "--load-8bit"], "8 bits need an NVIDIA card"),
    ):
        code, said = called(demo.main, "--task", "instruction", "--port", 7999, *arguments)
        assert code == 2 and says in said, said
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "gradio", None)
    code, said = called(demo.main, "--task", "instruction")
    assert (code, said) == (2, "utils.demo: gradio is missing: pip install -c constraints.txt gradio\n")
    with pytest.raises(SystemExit):
        demo.main(["--task", "instruction", "--emotion-adapter", "here"])


@pytest.mark.slow
def test_an_instruction_is_written_and_answered_and_a_file_is(browser, adapter, tmp_path):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    def find(css):
        return browser.find_elements(By.CSS_SELECTOR, css)

    def wait(condition):
        return WebDriverWait(browser, 120).until(lambda _: condition())

    def write(css, text):
        area = find(css)[0]
        browser.execute_script("arguments[0].value = ''; arguments[0].dispatchEvent(new Event('input'))", area)
        area.send_keys(text)

    def shown(name):
        return find(f"#{name.replace(' ', '-')} textarea")[0].get_attribute("value")

    model = InstructionPredict(adapter)
    with served_page("--task", "instruction", "--adapter", adapter) as served:
        browser.get(served)
        wait(lambda: find("#instruction textarea"))
        write("#instruction textarea", "Give the opposite of the word.")
        write("#input textarea", "<b>wide</b>")
        (tokens,) = [one for one in find("#how input[type=number]") if one.get_attribute("value") == "128"]
        tokens.clear()
        tokens.send_keys("12\t")
        *_, wanted = model.answers("Give the opposite of the word.", "<b>wide</b>", Writing(new_tokens=12))
        find("#answer")[0].click()
        wait(lambda: shown(BASE) == wanted[BASE])
        assert shown(TUNED) == wanted[TUNED] and not find("#problem")
        if "SCREENSHOT" in os.environ:
            browser.save_screenshot(os.environ["SCREENSHOT"])
        write("#instruction textarea", " ")
        find("#answer")[0].click()
        wait(lambda: find("#problem"))
        assert "it is empty" in find("#problem")[0].text
        rows = [{"instruction": "Say it.", "input": "", "output": ""}, {"instruction": "Say more.", "input": "now"}]
        write_json(rows, tmp_path / "tasks.json")
        find("#batch button")[0].click()
        wait(lambda: find("#file input[type=file]"))
        find("#file input[type=file]")[0].send_keys(str(tmp_path / "tasks.json"))
        wait(lambda: "tasks" in find("#file")[0].text)
        find("#answer-all")[0].click()
        wait(lambda: find("#done"))
        link = wait(lambda: find("#answers a[download]"))[0]
        browser.execute_script("arguments[0].click()", link)
        wait(lambda: list((tmp_path / "downloads").glob("*.json")))
        (out,) = (tmp_path / "downloads").glob("*.json")
        assert read_json(out) == model.of_file(tmp_path / "tasks.json", Writing(new_tokens=12))
