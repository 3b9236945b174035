"""Words by which models announce a label, give a reason, or take back what they said, in several languages.

A word that is missing here costs an abstention, never a wrong label: only what is announced by known words is read.
"""

from __future__ import annotations

MARKERS = frozenset(
    "label labels answer category class classification sentiment intent topic verdict prediction rating choice decision"
    " stance polarity emotion vote output result response annotation judgment judgement relevance"
    " antwort ergebnis kategorie klasse klassifikation klassifizierung einstufung bewertung stimmung etikett thema urteil"
    " étiquette etiquette réponse reponse catégorie categorie classe sentiment sujet résultat"
    " etiqueta respuesta categoría categoria clase clasificación sentimiento tema resultado"
    " etichetta risposta classificazione sentimento risultato rótulo rotulo resposta classificação"
    " antwoord categorie klasse etykieta odpowiedź kategoria klasa svar etikett kategori sonuç cevap etiket yanıt kategori"
    " ответ метка категория класс тональность результат відповідь мітка"
    " 答案 标签 標籤 分类 分類 类别 類別 情感 情感倾向 情感类别 情绪 分类结果 分類結果 结果 結果 立场 意图 主题 回答 答え ラベル カテゴリ カテゴリー 感情"
    " 정답 답변 답 라벨 레이블 분류 감정 التصنيف الإجابة الاجابة الجواب التسمية الفئة उत्तर लेबल श्रेणी".split()
)
"""The names of a label's own key."""

CONCLUSIONS = frozenset(
    "conclusion overall therefore thus hence so summary fazit insgesamt conclusión conclusione conclusão вывод итог"
    " 结论 总结 結論".split()
)
"""Words that announce a label like a marker, where a label follows; else they begin a sentence."""

MODIFIERS = CONCLUSIONS | frozenset(
    "the a an my our final overall predicted assigned chosen selected correct best appropriate resulting single most"
    " primary main is are of for to this that text review sentence message tweet comment document passage item post"
    " name value type key question task s here based on provided given above here so thus therefore hence then consequently accordingly finally conclusion in"
    " das die der dem dieses diesen diese text textes ist lautet also daher somit deshalb endgültige finale richtige für"
    " le la les l ce cette texte est donc ainsi bonne finale correcte du de"
    " el los del esta este texto es por lo tanto final correcta il lo questo testo è quindi dunque finale corretta di"
    " o as do da texto é portanto logo este jest to het dus är är det bu"
    " итоговый итоговая окончательный это так"
    " 最终 最終 最后 最後 最終的な 最终答案 最終答案 情感标签 情感分类 最終回答 因此 所以 最종 최종 النهائية النهائي هو هي अंतिम है".split()
)
"""Words that may stand beside a marker and change nothing of what it announces."""

CORRECTED = frozenset(
    "corrected revised updated actual true new changed adjusted fixed real amended final first initial preliminary draft".split()
)
"""Words that make a key another answer than the first one."""

REASONS = frozenset(
    "reason reasons reasoning explanation rationale justification because why thought thoughts analysis comment evidence"
    " begründung erklärung grund raison explication justification razón razon explicación motivo motivazione spiegazione"
    " explicação razão причина обоснование объяснение пояснение 理由 解释 解釋 原因 说明 説明 根拠 이유 설명 근거"
    " السبب التفسير कारण uzasadnienie reden uitleg neden açıklama".split()
)
"""The names of a reason's own key."""

ASIDES = frozenset("confidence certainty score probability language konfidenz confiance confianza 置信度".split())
"""The names of keys that may stand beside a label, besides reasons."""

INTRODUCTIONS = (
    MARKERS
    | MODIFIERS
    | frozenset(
        "here heres json object sure certainly okay ok course based on as requested format following below with i have will"
        " ll classify classified label labeled labelled assign annotate it be given above and below yaml xml code block"
        " hier meine folgende voici ma mon réponse aquí mi aquí está ecco la mia вот мой 以下 是 如下 我的 結果 结果".split()
    )
)
"""All words of a line that may introduce a label or an object; any other word there makes it doubtful."""

TAKEN_BACK = (
    "on second thought", "on reflection", "scratch that", " hmm", "let me re", "i was wrong", "my mistake", "take that back",
    "i misread", "i m mistaken", "i was mistaken", "strike that", "strike this", "apologies", "i meant", "or rather",
    "change my answer", "change my mind", "change my label", "rethink", "reconsider", "never mind", "nevermind",
    "ignore that", "disregard", "oops", "re read", "reread", "closer look", "closer inspection", "closer reading",
    "second look", "look again", "looking again", "read again", "reading again", "reading it again", "i retract",
    "i withdraw", "hold on", "correction the", "correction it", "label should", "answer should", "should be labeled",
    "korrektur", "doch nicht", "stimmt nicht", "je me trompe", "rectification", "me equivoqu", "corrección",
    "mi sbaglio", "correzione", "correção", "постойте", "подождите", "исправлен", "等等", "不对", "更正", "错了", "待って",
    "訂正", "잠깐", "정정", "انتظر", "تصحيح", "रुको",
)  # fmt: skip
"""What takes back an answer that was given before it, also in a reason."""

DOUBTED = (
    "correction", "this is wrong", "that is wrong", "that s wrong", "it s wrong", "label is wrong", "answer is wrong",
    "is incorrect", "not correct", "not right", "should have been", "previous text", "previous label", "previous answer",
    "not hold", "n t hold", "mistaken", "not sure", "unsure", "uncertain", "unclear", "ambiguous", " i cannot", " i can t ",
    "can t be sure", "cannot be sure", "can t tell", "cannot tell", "can t say", "cannot say", "could be", "could also",
    "could have", "might be", "might also", "might have", " may be ", " may also", "perhaps", "maybe", "possibly",
    "hard to", "difficult to", "alternativ", " if the", " if it", " if that", " if this", "only if", "unless", "depend",
    "sarcas", " ironic", " irony", "opposite", " guess", "would be", "would change", "would have", "i would not", "i wouldn t", "doubt",
    "low confidence", "very low", "not confident", "only half", "not entirely", "not really", "not quite", "not exactly",
    "n t actually", "n t believe", "not believe", " aber ", "allerdings", "vielleicht", "eigentlich", "unsicher", "falsch",
    " mais ", "peut être", "en fait", " pero ", "quizá", "tal vez", "en realidad", " forse ", " però ", "in realtà",
    "talvez", " mas ", "na verdade", " но ", "возможно", "на самом деле", "однако", "неверно", " jednak ", " ale ",
    " maar ", " ama ", "但", "可能", "也许", "其实", "不过", "しかし", "かも", "でも", "間違", "하지만", "아마", "لكن", "ربما",
    "लेकिन", "शायद",
)  # fmt: skip
"""What makes an answer before it doubtful."""

NOT_MEANT = (
    " if ", "would", " were ", "example", " e g ", "such as", " not ", "n t ", "never", "instead", "rather than", "wrong",
    "incorrect", "template", "placeholder", "look like", "looks like", "should", "previous", "initial", "at first",
    "earlier", "draft", " asks ", " asked ", "prompt", "expected", "requires", "suppose", "hypothe", "imagine", "cannot", "can t", "unable", "refuse", "avoid", "except",
    "excluding", "rule out", "ruled out", "opposite", "least", "someone", "some ", "others", "could", "might", "maybe",
    " nicht ", "wäre", "würde", " wenn ", "beispiel", " kein", "könnte", " pas ", "serait", " si ", "exemple", " sería",
    "ejemplo", " no ", " non ", "sarebbe", " se ", "esempio", " não ", " seria", "exemplo", " не ", " если ", " бы ",
    "пример", " nie ", " gdyby", "przykład", "değil", "olsa", "örnek", "不", "如果", "例", "假", "若", "もし", "ない",
    "만약", "아니", "예시", "ليس", " لو ", "مثال", "नहीं", "यदि",
)  # fmt: skip
"""What shows that the answer after it is an example, a condition or a denial."""

RULED_OUT = (
    "rule out", "ruled out", "rules out", "exclude", "avoid", "except", "least", "wrong", "opposite", "reject",
    "does not fit", "doesn t fit", "not fit", "for example", "for instance", " e g ", "would not", "wouldn t",
)  # fmt: skip
"""What denies the label after it even where the sentence has ended."""

DECLINED = (
    " i can t ", " i cannot ", " i can not ", " i m unable", " i am unable", " i m not able", " i am not able", " i refuse",
    " i won t ", " i will not ", " i m sorry", " i am sorry", " sorry but", " as an ai", " as a language model", " as a large language model", " i do not feel", " i decline",
    "ich kann nicht", "es tut mir leid", "je ne peux pas", "je suis désolé", "no puedo", "lo siento", "non posso",
    "mi dispiace", "não posso", "sinto muito", "не могу", "извините", "抱歉", "无法", "申し訳", "できません", "죄송", "عذر",
)  # fmt: skip
"""What declines to answer; a label after it is no answer."""

NO_TEXT = (
    "please provide", "please share", "please send", "please paste", "provide the text", "share the text",
    "need the text", "no text was", "no text is", "text is missing", "text to classify", "text to label",
)  # fmt: skip
"""What asks for the text: there is no answer then, only its form."""
