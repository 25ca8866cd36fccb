"""Holds signatures by a key that was thrown away: of one offer, right and nearly right."""

import binascii

MODULUS = binascii.a2b_base64(
    "xikNX0hU9GLoJxrThxerqo+OK4M6fkeByGKA12TucjRnl/i9F13xjVqBHdJ2WcjymlDNrNuhXDxshEyy9CNbxSqVtVtb"
    "BHtmZJ7NFzCfIlT3vGdtf1W4xdpH1BXaf5yAVF6Yg+yRJOoH7M9ChOE4xcJJhPXDOETe8Zj0KjRD/O6lnEeNZI+Haxbq"
    "9jf0MaASO3hkZPLRaZXzWQxYuYWdLhNwQ2i27r7yVb10EuNNHGmpcwYzHtnx/4p93TtrvEqdWBtysWvqdJi0VUxFkhSv"
    "3VRPVWY4gpeyEqKmbqEnLHCpCu/jkBtrbXePfHNmaLsgf709YMoxlwym0ztzTs2ietYLbrlDCA8mWxPAmni1K4JxZtHn"
    "NFSHMvYJfrOrycyRqc2zgwtUhrsS5OK2IKgJm46JGML60YC4xYkd9xtqIXcFRIlHhSb0gRAD99O0gsJCIVw68V3Br18V"
    "ghIkEUXpDf/afPQ6l1i/N+v0mcAVRNZ5TDhKbuNBczGpcUDi4/Fv"
)

OTHER_MODULUS = binascii.a2b_base64(
    "qImp4wNUwmikojn27aZdj3TOum8csbbaykoBXfBWuu+u4CN3YMooEB7KZVRIxgvSig4LSxcm6v/qTY7reWzH0IlLYSaV"
    "4s68r11SIcGSR5xakhOgb+wvVcxe5daOFXVzqgqVM8xtAujE5A4ARTABn088J6XmUx8OdUeIQ92MJoEswI/h3r2vEmf3"
    "iK13h0sw9MtAMz0AHApOl3KCAZOhqG2N6YlrMspQ5AQwY0ZKP8weBKafNHbVL0bYs40NZgquT86gtsxxZvOnisC7z01d"
    "iIzezB/4KUUsBhwCpbravk50TwmXZuf+NILaEsz0O8iZR6iV+RTUwG40E4i7yrWJ0zCzLB2sEMM2AUQ59XM6sXVSQbqA"
    "IC8XaSgXRjGipXGLoDy5aHRk+6CB7PyU0VwzBKkBje7PGvPrNo6GJ4yLoQSubmDnHMaW6vb3Gc3doYNFfZ85hGsv9Z8T"
    "875ibuQeQZLmIvThg7GL73X0BFgr9X07dyBnDfCQdJDshyqDoLlV"
)

OFFER = binascii.a2b_base64(
    "eyJmb3JtYXQiOjEsImtleSI6IjA0ZjI2Yzg5MmE4N2E5ZmIiLCJib2FyZCI6InNpbSIsIm1jdSI6ImVzcDMyIiwidmVy"
    "c2lvbiI6IjIuMCIsInNlcSI6NSwic2l6ZSI6MTAsInNoYTI1NiI6ImNhMzk2MWNlOGZiNzQ2Yjg1MWNmMmUyZjliYzE5"
    "ZjQ3MmNlMzkzNjUwY2Y3NjVjYjRkYTFhYWRiMTk4YzNiOGMiLCJibG9ja19zaXplIjo0MDk2LCJibG9ja3MiOiJRUWtq"
    "U0E9PSJ9"
)

SIGNATURE = binascii.a2b_base64(
    "KZW0JZyHziACd8kT7E7YnPriLfU7yMXVMMwdcuXY4HkfBKKHZfTE+HpbReOgEdyh9kWW4p1KvxaAiYhdZiKZYY4HUwII"
    "Osp5CfjJGh3qYi8PKHgtcYX4ZQH5XFRUZphjlvua4OYhtTA7HaoIAv4iDf8gTNBxdOIkRHF5WpkWZI/NUYKwNoj/SSrH"
    "gUMegC0KFehwkYNZnWdeCt2sHrJdf5aXESHvMl4P7UWC9XcCnUJPzgIOJyQv7w5OHLbfdMCSSzMutz3tYUgfcCwGG2d6"
    "dc2jHvGsWXh65NCr2q3FTsxidu3P9JVJFwdQhfTWLf6E2YharXmqUku8A2s7pBZTjsE6X37KbbXDmYmaJjFO4R8dvlFj"
    "qsPZyl5sDSRrkBcUJWqqivZtNka4YLQI8ZQu/ysr1byz1OCXIIQERBLSABbegUsVlAO01a2a7zpRj2youKdiISmL+XCv"
    "GnrQjwfsED0Vv7VDsTNOuwlD4hzUfgxg3WtKKa4yZV0NN43XnrXE"
)

# What each of these opens to is signed rightly, but is not the one padded message.
SHORT_PADDING = binascii.a2b_base64(
    "Eg/aNQWAIPegpPcSSYDM/vUaLpDQggUWsifhFOeqfkZtKO7W8gWX70XP5wwAPf9ZfqAn+KjiTckOGBizYHWpy6WQcew4"
    "rhEgBwlXMdBi+nIbkpG6kOiKQLSc0RLZOVVWcDbNo2FDhiUhYQcxmIYfGZSu64FsM/jUj/4NVIRcSl/ShXAtsFx5CMvN"
    "PAi7U3FdjJa6Gk3YlkYQWvcIcr2MWoyC3dFUTYlHOTx3nYA6zUFhr/ouizuxw+4l5fr4fLvO+bVCLJgWFHhNj4KzWwqf"
    "gHmAbpDgWEPlSqlsQlJaKhqIneEKCn7O/yXyuSBegfgkSH6RPSAtot+Jnre7zUi10bZuG2ovsAaY9mP3cYdScAaFM+1/"
    "XDiQADRM2CPVGfs73fQZtgqmDtBThdgf2Hgihg2D+g8NjIs3FI+tQkHCOAguc6O9vFBVEKO2e2TPVfAv807c3XymJEa6"
    "8XDo0iAJ6brf3k7bEtKkfTN9JJl/V0DAq3OcsMEPA2Khi6QAUz2F"
)

BLOCK_TYPE_2 = binascii.a2b_base64(
    "VY7UrEkzEUyuA/OMMW2ItnHBv/n0fXiF6vONUpedl8VIPPfOvRY+klfY+IGDFYOcMI4US+Hu6rJPJN9fVM3UJnTfiMPb"
    "8FY280LpyqQBd2Q0ZPS+0cFTqqUZaBeM1DbWEL87JYuoZI/oEn2Ia9fdzQFxic2irmX1z8zwZiMi6opRYFtFAIdpG09W"
    "qW2TYe0lF7lkrT4MpdWXtPzJ9YQsNTB1cyxa/j7WznVmPHIMJqT58sHyc3PaSwOSkG6qp8Hp+/eIAqMAOeDrFaAv3F/g"
    "GQWIaEC7LUGVVsqKQzgoqf5DXNQ4yJ1kPNH7MTYnL4AqIUl2CaQA1N1h/o2ItRbb2Mp/EuU01gP8SyX3IoAH+pOtwpjY"
    "LWGui1QMTYplCCCWX45SwQHI5H3bcHKS8xhI9AIxu4hX53KE6i6/21ULSSulCFHT6dJmJsZ5bK0b6oCCMDTXsHbimWtI"
    "vMpf2o+OpPFsRiIfRns6ALsRo09DymBn+TQsQDUdd0zcHruC1723"
)

WITHOUT_PARAMETERS = binascii.a2b_base64(
    "uMDMkCik/rmtkkwfGBlfsnKN73KtlY1oYvRqlYRociTyLhsQKL+fHtAxpkwS5/CSRB4MSyZLTyRXoCxqESqOKqfb4pfO"
    "mAy8V32hyqM1wk8NwvMvEgVZDzuFCZiVkQEs8BrH2vJ6WWqH3+ndIFv2H5XMe8RFJpEg+l1n8nrvRNJCbxim6wbsWjtL"
    "ek+g9RsGy5u+EzLjd6Y/z8KvYTLzFPOeZq5fFB1Q3Bgorg6K6Ge0p+zY7m0IZ/rCAqHI/rX4iCjrm7F7Kcio3miCEvJo"
    "56n0QPPXeWUtMer2+Xf9IVpMjdeN3iErj4rh7h1zRpcbVit03xPRofbiCRvnmmuZPleqhxslfUANZlKhuE0jGG3x2VKL"
    "ItacDT1qV60wNto4DBbwyqNVG62hoWNbfCBtbKv5m2uugEJvxD5RVJcaEaujM6EpHujCfY+o+r4NDLMhEdq6TglQ2Svs"
    "Rq8fTLcg3o5lGrAq7rQwSpk+h5sLorWLXdcPOR3z/PNpUlfhsLsn"
)
