"""Makes the pictures of the main commands as ./invoke screens does, on real simulated boards."""

from ci.docs import screens, terminal


def test_every_picture_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(terminal, "_KEY", 0.005)  # seconds from key to key: nobody looks
    said = []
    written = screens.write(tmp_path, say=said.append)
    assert [path.stem for path in written] == [*(shot.name for shot in screens.SHOTS), "demo"]
    text = {path.stem: path.read_text().replace("&#160;", " ") for path in written}
    assert "crashes to look at: 1" in text["boards"] and "offline" in text["boards"]
    assert "watchdog" in text["crash"] and "module gate" in text["crash"]
    assert "Nothing is left running." in text["demo"].replace("\xa0", " ")
    assert "1.4.0 → 1.5.0, confirmed in slot ota_1" in text["ota"]
